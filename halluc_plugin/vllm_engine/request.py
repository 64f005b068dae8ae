"""Pass edit tokens, context and limits of a request to the engine, as flat keys in ``extra_args``.

``SamplingParams.extra_args`` reaches the engine as given. ``vllm serve`` fills it from ``vllm_xargs``, which
cannot hold nested mappings, so the keys are flat.
"""

import difflib
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral
from typing import Any, TypeVar

from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.decoding.triggers import Scope, TextSignal, Trigger
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.edits.vocab import DELIMITERS, ROLES
from halluc_plugin.errors import SettingsError

PREFIX = "halluc_"
MOST = 2**31 - 1
"""The largest number a request may carry; no id, budget or length of a response is larger."""
Choice = TypeVar("Choice", bound=StrEnum)


class Length(StrEnum):
    """The tokens that ``max_tokens`` counts in hard context."""

    RAW = "raw"
    """It counts every action, and so bounds the cost and the length of the trace."""
    COLLAPSED = "collapsed"
    """It counts the live tokens; ``max_actions`` bounds the actions."""


@dataclass(frozen=True)
class EditRequest:
    """The edit settings of one request.

    Args:
        vocab: The edit vocabulary.
        budget: Largest number of effective edits, None for no limit.
        boundary: Whether an edit may be sampled on an empty response.
        context: With ``soft`` the model goes on seeing errors and edits. With ``hard`` an edit rewinds the
            request, which needs :class:`halluc_plugin.vllm_engine.scheduler.RewindScheduler`.
        tabu: The tokens that an edit bans of the span it erases (evaluation only, see
            :class:`halluc_plugin.decoding.EditPolicy`). True stands for :attr:`Tabu.LAST`.
        length: The tokens that ``max_tokens`` counts.
        max_actions: Largest number of raw actions if ``max_tokens`` counts collapsed tokens.
        trigger: The settings by which a signal of the logits takes text back in hard context, in place of the
            model, whose own edits are banned then; None for none.

    Raises:
        SettingsError: A number is out of range, or two settings contradict each other.
    """

    vocab: EditVocab
    budget: int | None = None
    boundary: Boundary = Boundary.NOOP
    context: Context = Context.SOFT
    tabu: Tabu | bool = Tabu.OFF
    length: Length = Length.RAW
    max_actions: int | None = None
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tabu", Tabu.of(self.tabu))
        if self.trigger is not None:
            self._check_trigger(self.trigger)
        for key, least in (("budget", 0), ("max_actions", 1)):
            value = getattr(self, key)
            if isinstance(value, Integral) and not isinstance(value, bool):
                object.__setattr__(self, key, value := int(value))  # numpy's are none to a serialiser
            if value is not None:
                _require_integer(key, value, least)
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

    def _check_trigger(self, trigger: Trigger) -> None:
        trigger.require_edit(self.vocab)
        if not isinstance(trigger.signal, TextSignal):
            raise SettingsError(
                f"{PREFIX}signal={trigger.signal} reads hidden states; vLLM's processors see logits alone.",
                f"Decode with transformers, or give one of: {', '.join(TextSignal)}.",
            )
        if trigger.scope is Scope.STEP and not self.vocab.step_delimiters:
            raise SettingsError(
                f"{PREFIX}scope=step, but nothing says what ends a step.",
                f"Give {PREFIX}step and {PREFIX}step_delimiters, or {PREFIX}scope=token.",
            )
        if self.context is Context.SOFT or self.budget not in {None, 0}:
            raise SettingsError(
                f"{PREFIX}signal takes text back in {self.context} context, {PREFIX}budget={self.budget}.",
                f"Add {PREFIX}context=hard and leave {PREFIX}budget out: the model takes nothing back, "
                f"{PREFIX}rollbacks limits the signal.",
            )
        object.__setattr__(self, "budget", 0)

    def check_ids(self, vocab_size: int) -> None:
        """Refuse ids that the model does not have.

        Args:
            vocab_size: Number of ids of the model.

        Raises:
            SettingsError: The model does not have an id; the message names the first of them.
        """
        delimiters = ((name, max(getattr(self.vocab, name), default=0)) for name in DELIMITERS.values())
        named = [*self.vocab.roles.items(), *delimiters]
        for key, token_id in named:
            if token_id >= vocab_size:
                raise SettingsError(
                    f"{PREFIX}{key} names id {token_id}, but the ids of the model end at {vocab_size - 1}.",
                    "Give an id of the model's tokenizer: halluc doctor --model names those of edit tokens.",
                )

    def to_extra_args(self) -> dict[str, Any]:
        """Return the request as ``extra_args``; values that are not set have no key."""
        values = {
            **{role: int(token_id) for role, token_id in self.vocab.roles.items()},
            **{name: sorted(getattr(self.vocab, name)) or None for name in DELIMITERS.values()},
            "budget": self.budget,
            "boundary": self.boundary.value,
            "context": self.context.value,
            "tabu": None if self.tabu is Tabu.OFF else Tabu.of(self.tabu).value,
            "length": None if self.length is Length.RAW else self.length.value,
            "max_actions": self.max_actions,
            **self._trigger_args(),
        }
        return {PREFIX + key: value for key, value in values.items() if value is not None}

    def _trigger_args(self) -> dict[str, Any]:
        trigger = self.trigger
        if trigger is None:
            return {}
        return {
            "signal": trigger.signal.value,
            "threshold": list(trigger.threshold),
            "erase": next(role for role, edit in self.vocab.roles.items() if edit == trigger.edit_id),
            "scope": trigger.scope.value,
            "erased_tokens": trigger.tokens,
            "rollbacks": trigger.budget,
            "gate": trigger.gate,
        }

    @classmethod
    def from_extra_args(cls, extra_args: Mapping[str, Any] | None) -> "EditRequest | None":
        """Read a request from ``extra_args``.

        Args:
            extra_args: The extra arguments of a request, or None; keys of other packages are ignored.

        Returns:
            The request, None if ``extra_args`` has no key of this package.

        Raises:
            SettingsError: A key of this package is unknown, is spelled in another way, or has a wrong value.
            EditVocabError: The ids contradict each other.
        """
        if extra_args is None:
            return None
        if not isinstance(extra_args, Mapping):
            raise SettingsError(f"extra_args is {shown(extra_args)}.", "Give a mapping of names to values.")
        named = {key: value for key, value in extra_args.items() if _is_meant_for_us(key)}
        if not named:
            return None
        _require_known(named)
        ours = {key.removeprefix(PREFIX): value for key, value in named.items()}
        if "backtrack" not in ours:
            raise SettingsError(
                f"A request sets {PREFIX}{min(ours)} without {PREFIX}backtrack.",
                f"Pass {PREFIX}backtrack=<id of the backtrack token>.",
            )
        roles = {role: _integer(ours, role) for role in ROLES if role in ours}
        delimiters = {name: _ids(ours, name) for name in DELIMITERS.values() if name in ours}
        vocab = EditVocab(**roles, **delimiters)  # type: ignore[arg-type]
        return cls(
            vocab,
            budget=_integer(ours, "budget") if "budget" in ours else None,
            boundary=_choice(ours, "boundary", Boundary.NOOP),
            context=_choice(ours, "context", Context.SOFT),
            tabu=_tabu(ours),
            length=_choice(ours, "length", Length.RAW),
            max_actions=_integer(ours, "max_actions") if "max_actions" in ours else None,
            trigger=_trigger(ours, vocab),
        )


KEYS = (
    *(key for role in ROLES for key in (role, DELIMITERS.get(role)) if key),
    "budget", "boundary", "context", "tabu", "length", "max_actions",
    "signal", "threshold", "erase", "scope", "erased_tokens", "rollbacks", "gate",
)  # fmt: skip
FORCING = f"{PREFIX}forcing"
"""What transformers' engine alone can do."""
OF_SIGNALS = KEYS[-6:]
"""The keys that have a meaning with ``signal`` alone."""


def _is_meant_for_us(key: Any) -> bool:
    """Whether a key is halluc's, or would be but for upper case, hyphens or blanks."""
    return isinstance(key, str) and as_ours(key).startswith(PREFIX)


def as_ours(key: str) -> str:
    """Return a key in this package's spelling: in lower case, with underscores and without outer blanks."""
    return key.strip().casefold().replace("-", "_")


def _require_known(named: Mapping[str, Any]) -> None:
    known = [PREFIX + key for key in KEYS]
    for key in named:
        if as_ours(key) == FORCING:
            raise SettingsError(
                f"A request sets {shown(key)}: vLLM's processors cannot hold an end back until edits or a "
                "verifier let it come.",
                "Decode with transformers (halluc_plugin.decoding.forcing).",
            )
        if key not in known:
            close = difflib.get_close_matches(as_ours(key)[:64], known, n=1)
            guess = f"Did you mean {close[0]}? " if close else ""
            raise SettingsError(
                f"A request sets {shown(key)}, which does not exist.", f"{guess}Known: {', '.join(known)}."
            )


def _integer(ours: Mapping[str, Any], key: str) -> int:
    _require_integer(key, ours[key])
    return int(ours[key])


def _require_integer(key: str, value: Any, least: int = 0) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SettingsError(
            f"{PREFIX}{key} is {shown(value)}, not an integer.", f"Give an integer of at least {least}."
        )
    if not least <= value <= MOST:
        raise SettingsError(
            f"{PREFIX}{key} is {shown(value)}.", f"Give an integer from {least} to {MOST}, or leave it out."
        )


def _ids(ours: Mapping[str, Any], key: str) -> frozenset[int]:
    value = ours[key]
    if not isinstance(value, list | tuple):
        raise SettingsError(
            f"{PREFIX}{key} is {shown(value)}, not a list of ids.", "Give a list of integers."
        )
    for token_id in value:
        _require_integer(key, token_id)
    if len(set(value)) < len(value):
        raise SettingsError(f"{PREFIX}{key} is {shown(value)}.", "Give each id once.")
    return frozenset(value)


def _trigger(ours: Mapping[str, Any], vocab: EditVocab) -> Trigger | None:
    if "signal" not in ours:
        given = [key for key in OF_SIGNALS if key in ours]
        if given:
            raise SettingsError(
                f"{PREFIX}{given[0]} means nothing without {PREFIX}signal.",
                f"Add {PREFIX}signal={TextSignal.ENTROPY}, or leave it out.",
            )
        return None
    thresholds = ours.get("threshold")
    values = thresholds if isinstance(thresholds, list | tuple) else [thresholds]
    role = ours.get("erase", "step")
    if not isinstance(role, str) or role not in vocab.roles:
        raise SettingsError(
            f"{PREFIX}erase is {shown(role)}.", f"Give an edit of the request: {', '.join(vocab.roles)}."
        )
    return Trigger(
        _choice(ours, "signal", TextSignal.ENTROPY),
        tuple(_number("threshold", value) for value in values),
        vocab.roles[role],
        _choice(ours, "scope", Scope.STEP),
        _integer(ours, "erased_tokens") if "erased_tokens" in ours else 1,
        _integer(ours, "rollbacks") if "rollbacks" in ours else 4,
        _number("gate", ours["gate"]) if "gate" in ours else None,
    )


def _number(key: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value != value:  # noqa: PLR0124 - nan
        raise SettingsError(f"{PREFIX}{key} is {shown(value)}, not a number.", "Give a number, such as 1.5.")
    return float(value)


def _tabu(ours: Mapping[str, Any]) -> Tabu:
    value = ours.get("tabu", Tabu.OFF)
    if isinstance(value, int) and value in (0, 1):  # vllm_xargs turns true into 1
        return Tabu.of(bool(value))
    if not isinstance(value, str) or value not in list(Tabu):
        raise SettingsError(
            f"{PREFIX}tabu is {shown(value)}.", f"Give one of: {', '.join(Tabu)}; true is last, false is off."
        )
    return Tabu(value)


def _choice(ours: Mapping[str, Any], key: str, default: Choice) -> Choice:
    options = type(default)
    value = ours.get(key, default)
    if not isinstance(value, str) or value not in list(options):
        raise SettingsError(f"{PREFIX}{key} is {shown(value)}.", f"Give one of: {', '.join(options)}.")
    return options(value)


class _Short(reprlib.Repr):
    """A value of any kind, depth and size, short enough for a message."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 2, 60, 60

    def repr_int(self, value: int, _level: int) -> str:
        if abs(value) <= MOST:
            return str(value)
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print the longest


shown = _Short().repr
