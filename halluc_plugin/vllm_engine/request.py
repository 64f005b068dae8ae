"""How a request tells the engine its edit tokens, its context and its limits: flat keys in ``extra_args``.

``SamplingParams.extra_args`` reaches the engine as given; ``vllm serve`` fills it from ``vllm_xargs``, which
holds no nested mappings, hence the flat keys.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Context

PREFIX = "halluc_"
Choice = TypeVar("Choice", bound=StrEnum)


class Length(StrEnum):
    """What ``max_tokens`` counts in hard context."""

    RAW = "raw"
    """Every action, so that it bounds the cost and the length of the trace."""
    COLLAPSED = "collapsed"
    """The live tokens; ``max_actions`` bounds the actions."""


@dataclass(frozen=True)
class EditRequest:
    """What one request asks of the engine.

    Args:
        vocab: Which ids edit.
        budget: How many effective edits it may sample, None for no limit.
        boundary: Whether an edit may be sampled on an empty response.
        context: Soft: the model goes on seeing errors and edits. Hard: an edit rewinds the request, which
            needs :class:`halluc_plugin.vllm_engine.scheduler.RewindScheduler`.
        tabu: Never return to a state that an edit has left (evaluation only, see
            :class:`halluc_plugin.decoding.EditPolicy`).
        length: What ``max_tokens`` counts.
        max_actions: Most raw actions when ``max_tokens`` counts collapsed tokens.

    Raises:
        SettingsError: A number is out of range, or two settings contradict each other.
    """

    vocab: EditVocab
    budget: int | None = None
    boundary: Boundary = Boundary.NOOP
    context: Context = Context.SOFT
    tabu: bool = False
    length: Length = Length.RAW
    max_actions: int | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget < 0:
            raise SettingsError(
                f"{PREFIX}budget is {self.budget}.", "Give an integer of at least 0, or leave it out."
            )
        if self.max_actions is not None and self.max_actions < 1:
            raise SettingsError(f"{PREFIX}max_actions is {self.max_actions}.", "Give at least 1.")
        if self.length is Length.COLLAPSED and self.context is Context.SOFT:
            raise SettingsError(
                f"{PREFIX}length=collapsed counts what is left in hard context, but the context is soft.",
                f"Add {PREFIX}context=hard, or count raw.",
            )
        if (self.length is Length.COLLAPSED) != (self.max_actions is not None):
            raise SettingsError(
                f"{PREFIX}length is {self.length} and {PREFIX}max_actions is {self.max_actions}.",
                f"Give {PREFIX}max_actions with length=collapsed, which may else never end, and only there: "
                "with length=raw, max_tokens is that number.",
            )

    def to_extra_args(self) -> dict[str, Any]:
        """The request as ``extra_args``; absent keys mean none."""
        values = {
            **self.vocab.roles,
            "step_delimiters": sorted(self.vocab.step_delimiters) or None,
            "budget": self.budget,
            "boundary": self.boundary.value,
            "context": self.context.value,
            "tabu": self.tabu or None,
            "length": None if self.length is Length.RAW else self.length.value,
            "max_actions": self.max_actions,
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
        return cls(
            vocab,
            budget=_integer(ours, "budget") if "budget" in ours else None,
            boundary=_choice(ours, "boundary", Boundary.NOOP),
            context=_choice(ours, "context", Context.SOFT),
            tabu=_flag(ours, "tabu"),
            length=_choice(ours, "length", Length.RAW),
            max_actions=_integer(ours, "max_actions") if "max_actions" in ours else None,
        )


KEYS = (
    "backtrack", "step", "step_delimiters", "restart", "budget", "boundary", "context", "tabu", "length",
    "max_actions",
)  # fmt: skip


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


def _flag(ours: Mapping[str, Any], key: str) -> bool:
    value = ours.get(key, False)
    if value not in (0, 1):  # vllm_xargs turns true into 1
        raise SettingsError(f"{PREFIX}{key} is {value!r}.", "Give true or false.")
    return bool(value)


def _choice(ours: Mapping[str, Any], key: str, default: Choice) -> Choice:
    options = type(default)
    value = ours.get(key, default)
    if value not in list(options):
        raise SettingsError(f"{PREFIX}{key} is {value!r}.", f"Give one of: {', '.join(options)}.")
    return options(value)
