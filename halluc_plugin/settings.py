"""The ``halluc:`` block of a recipe as dataclasses, and the strict reader of it.

Every adapter reads the block with :func:`load`; an unknown key, a value of the wrong kind and a
contradiction are refused before anything starts.
"""

import difflib
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, StrEnum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from halluc_plugin.edits.builders import Boundary, ErasedTokens
from halluc_plugin.errors import SettingsError


class Context(StrEnum):
    """What the model sees after an edit."""

    SOFT = "soft"
    """The whole raw trace, errors and edit tokens included."""
    HARD = "hard"
    """Only the resolved text."""


class WarmStartTraces(StrEnum):
    """What the embedded model is warm-started on."""

    BACKTRACK = "backtrack"
    """Solutions with errors and the edits that erase them."""
    CLEAN = "clean"
    """Solutions without errors: the baseline."""


@dataclass(frozen=True)
class TokenSettings:
    """How ids get their meaning.

    Args:
        step_delimiter: Text that ends a step; used when the tokenizer has a step backtrack token.
    """

    step_delimiter: str = "\n"


@dataclass(frozen=True)
class RewardSettings:
    """The reward ``sum over components of weight * component``.

    The default pays the outcome alone. The other components are always reported beside it; before giving
    ``backtrack`` a weight, note that ``alpha`` pays an error that is undone above no error at all.

    Args:
        weights: Weight of each component by name; a component without a weight is reported, not paid.
        alpha: Of ``backtrack``: paid once when a wrong state was backtracked into a correct answer.
        beta: Of ``backtrack``: cost of each event that started from a state that was still right.
        gamma: Of ``backtrack``: ``gamma / sqrt(max(1, events))`` is paid for a correct answer.
        kappa: Of ``n_mars``: its budget, effective edits for each action.
    """

    weights: dict[str, float] = field(default_factory=lambda: {"outcome": 1.0})
    alpha: float = 0.4
    beta: float = 0.2
    gamma: float = 0.25
    kappa: float = 0.2

    def __post_init__(self) -> None:
        from halluc_plugin.rewards.components import COMPONENTS

        for name, weight in self.weights.items():
            if name not in COMPONENTS:
                raise _unknown(f"reward component {name!r}", name, COMPONENTS, "halluc.reward.weights")
            _require_finite(f"halluc.reward.weights.{name}", weight)
        for name in ("alpha", "beta", "gamma", "kappa"):
            _require_finite(f"halluc.reward.{name}", getattr(self, name))


@dataclass(frozen=True)
class GuardSettings:
    """When to stop because engine and actor disagree; see :mod:`verl_ext.guard`.

    Args:
        enabled: Whether to compare at all.
        max_drift: Largest tolerated mean absolute Δ log p in nats; null chooses by dtype.
        min_correlation: Smallest tolerated Pearson correlation of the log-probs; null chooses by dtype.
        min_tokens: Steps with fewer unmasked tokens are not judged.
    """

    enabled: bool = True
    max_drift: float | None = None
    min_correlation: float | None = None
    min_tokens: int = 256

    def __post_init__(self) -> None:
        if self.max_drift is not None and not 0 < self.max_drift < math.inf:
            raise SettingsError(
                f"halluc.guard.max_drift is {self.max_drift}.",
                "Give a number above 0, or null to choose by dtype.",
            )
        if self.min_correlation is not None and not -1 <= self.min_correlation <= 1:
            raise SettingsError(
                f"halluc.guard.min_correlation is {self.min_correlation}.",
                "Give a number between -1 and 1, or null to choose by dtype.",
            )
        if self.min_tokens < 2:
            raise SettingsError(
                f"halluc.guard.min_tokens is {self.min_tokens}.",
                "Give at least 2: one token has no correlation.",
            )


@dataclass(frozen=True)
class TraceLogSettings:
    """Answers of training that are kept to be read; see :mod:`halluc_plugin.trace_log`.

    Args:
        per_step: How many of each step, drawn at random; 0 keeps none.
        max_megabytes: Most that all files of a run may take, in 10^6 bytes.
    """

    per_step: int = 4
    max_megabytes: float = 100.0

    def __post_init__(self) -> None:
        if self.per_step < 0:
            raise SettingsError(
                f"halluc.trace_log.per_step is {self.per_step}.", "Give an integer of at least 0."
            )
        _require_finite("halluc.trace_log.max_megabytes", self.max_megabytes)


@dataclass(frozen=True)
class PrepareSettings:
    """The embedded model and data, made on first use.

    Args:
        seed: Seed of problems, initial weights and order.
        train_problems: Problems to train on.
        test_problems: Problems of each held-out kind (targets seen in training, targets never seen).
        warm_start_steps: Optimizer steps of masked fine-tuning.
        traces: What the warm start learns from.
    """

    seed: int = 0
    train_problems: int = 12000
    test_problems: int = 500
    warm_start_steps: int = 1600
    traces: WarmStartTraces = WarmStartTraces.BACKTRACK

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingsError(f"halluc.prepare.seed is {self.seed}.", "Give an integer of at least 0.")
        for name in ("train_problems", "test_problems", "warm_start_steps"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"halluc.prepare.{name} is {getattr(self, name)}.", "Give an integer of at least 1."
                )


@dataclass(frozen=True)
class Settings:
    """The whole ``halluc:`` block.

    Args:
        context: What the model sees after an edit.
        erased_tokens: Whether erased tokens take part in the loss.
        max_backtracks: Budget of effective edits per answer, null for no limit.
        boundary: What an edit on an empty response does.
        tokens: How ids get their meaning.
        reward: The reward.
        guard: When to stop because engine and actor disagree.
        trace_log: Answers that are kept to be read.
        prepare: The embedded model and data.
    """

    context: Context = Context.SOFT
    erased_tokens: ErasedTokens = ErasedTokens.MASK
    max_backtracks: int | None = None
    boundary: Boundary = Boundary.NOOP
    tokens: TokenSettings = field(default_factory=TokenSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    trace_log: TraceLogSettings = field(default_factory=TraceLogSettings)
    prepare: PrepareSettings = field(default_factory=PrepareSettings)

    def __post_init__(self) -> None:
        if self.max_backtracks is not None and self.max_backtracks < 0:
            raise SettingsError(
                f"halluc.max_backtracks is {self.max_backtracks}.",
                "Give an integer of at least 0, or null for no limit.",
            )

    @property
    def bans_edits(self) -> bool:
        """Whether edit tokens are ever banned during sampling, so that the actor must ban them too."""
        return self.max_backtracks is not None or self.boundary is Boundary.MASK

    @property
    def needs_own_engine(self) -> bool:
        """Whether the actor's log-probs are others than a plain causal forward's."""
        return self.bans_edits or self.context is Context.HARD


def load(mapping: Mapping[str, Any] | None) -> Settings:
    """Read the ``halluc:`` block.

    Args:
        mapping: The block as plain containers or OmegaConf; None and missing keys mean the defaults.

    Returns:
        The settings.

    Raises:
        SettingsError: A key is unknown (close matches are named), a value has the wrong kind, or two
            settings contradict each other.
    """
    return _read(Settings, {} if mapping is None else mapping, "halluc")


def _read(cls: type, mapping: Any, path: str) -> Any:
    if not isinstance(mapping, Mapping):
        raise SettingsError(
            f"{path} is {mapping!r}, not a group of settings.", f"Write {path} as a YAML mapping."
        )
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    for key in mapping:
        if key not in names:
            raise _unknown(f"setting {path}.{key}", str(key), names, path)
    return cls(**{key: _convert(hints[key], value, f"{path}.{key}") for key, value in mapping.items()})


def _convert(kind: Any, value: Any, path: str) -> Any:
    """``value`` as ``kind``, refusing lossy conversions (a bool is no number, 2.5 is no integer)."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not type(None))
    if is_dataclass(kind):
        return _read(kind, value, path)  # type: ignore[arg-type]
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return choose(kind, value, path)
    if get_origin(kind) is dict:
        if not isinstance(value, Mapping):
            raise _wrong_kind(path, value, "a mapping")
        return {str(k): _convert(get_args(kind)[1], v, f"{path}.{k}") for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
        raise _wrong_kind(path, value, names[kind])
    return value


Choice = TypeVar("Choice", bound=StrEnum)


def choose(kind: type[Choice], value: Any, path: str) -> Choice:
    """A member of ``kind`` by its value.

    Args:
        kind: An enum of texts.
        value: A member, or its text.
        path: Name of the setting, for the message.

    Raises:
        SettingsError: There is no such member; the message lists those that exist.
    """
    text = str(value.value if isinstance(value, Enum) else value)
    if text not in list(kind):
        raise SettingsError(f"{path} is {text!r}.", f"Give one of: {', '.join(kind)}.")
    return kind(text)


def _wrong_kind(path: str, value: Any, wanted: str) -> SettingsError:
    return SettingsError(f"{path} is {value!r}, not {wanted}.", f"Give {wanted}.")


def _unknown(what: str, name: str, known: Any, path: str) -> SettingsError:
    close = difflib.get_close_matches(name, list(known), n=3)
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    return SettingsError(f"Unknown {what}.", f"{guess}{path} knows: {', '.join(sorted(known))}.")


def _require_finite(path: str, value: float) -> None:
    if not math.isfinite(value):
        raise SettingsError(f"{path} is {value}.", "Give a finite number.")
