"""How a request tells the engine its edit tokens and their limits: flat keys in ``extra_args``.

``SamplingParams.extra_args`` reaches the engine as given; ``vllm serve`` fills it from ``vllm_xargs``, which
holds no nested mappings, hence the flat keys.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError

PREFIX = "halluc_"


@dataclass(frozen=True)
class EditRequest:
    """Limits on the edits of one request.

    Args:
        vocab: Which ids edit.
        budget: How many effective edits it may sample, None for no limit.
        boundary: Whether an edit may be sampled on an empty response.

    Raises:
        SettingsError: The budget is negative.
    """

    vocab: EditVocab
    budget: int | None = None
    boundary: Boundary = Boundary.NOOP

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 0:
            raise SettingsError(
                f"{PREFIX}budget is {self.budget}.", "Give an integer of at least 0, or leave it out."
            )

    def to_extra_args(self) -> dict[str, Any]:
        """The request as ``extra_args``; absent keys mean none."""
        values = {
            **self.vocab.roles,
            "step_delimiters": sorted(self.vocab.step_delimiters) or None,
            "budget": self.budget,
            "boundary": self.boundary.value,
        }
        return {PREFIX + key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_extra_args(cls, extra_args: Mapping[str, Any] | None) -> "EditRequest | None":
        """Read ``extra_args``.

        Args:
            extra_args: Of a request; other people's keys are left alone.

        Returns:
            The request, or None when no key of ours is in it.

        Raises:
            SettingsError: A key of ours is unknown or has a wrong value.
            EditVocabError: The ids contradict each other.
        """
        ours = {
            key.removeprefix(PREFIX): value
            for key, value in (extra_args or {}).items()
            if isinstance(key, str) and key.startswith(PREFIX)
        }
        if not ours:
            return None
        _require_known(ours)
        if "backtrack" not in ours:
            raise SettingsError(
                f"A request sets {PREFIX}{min(ours)} without {PREFIX}backtrack.",
                f"Pass {PREFIX}backtrack=<id of the backtrack token>.",
            )
        vocab = EditVocab(
            backtrack=_integer(ours, "backtrack"),
            step=_integer(ours, "step") if "step" in ours else None,
            step_delimiters=_ids(ours.get("step_delimiters", ())),
            restart=_integer(ours, "restart") if "restart" in ours else None,
        )
        budget = _integer(ours, "budget") if "budget" in ours else None
        return cls(vocab, budget, _boundary(ours.get("boundary", Boundary.NOOP.value)))


KEYS = ("backtrack", "step", "step_delimiters", "restart", "budget", "boundary")


def _require_known(ours: Mapping[str, Any]) -> None:
    for key in ours:
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            guess = f"Did you mean {PREFIX}{close[0]}? " if close else ""
            raise SettingsError(
                f"A request sets {PREFIX}{key}, which does not exist.",
                f"{guess}Known: {', '.join(PREFIX + k for k in KEYS)}.",
            )


def _integer(ours: Mapping[str, Any], key: str) -> int:
    value = ours[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingsError(f"{PREFIX}{key} is {value!r}, not an integer.", "Give an integer.")
    return value


def _ids(value: Any) -> frozenset[int]:
    if not isinstance(value, list | tuple) or not all(isinstance(i, int) for i in value):
        raise SettingsError(
            f"{PREFIX}step_delimiters is {value!r}, not a list of ids.", "Give a list of integers."
        )
    return frozenset(value)


def _boundary(value: Any) -> Boundary:
    if value not in [b.value for b in Boundary]:
        options = ", ".join(b.value for b in Boundary)
        raise SettingsError(f"{PREFIX}boundary is {value!r}.", f"Give one of: {options}.")
    return Boundary(value)
