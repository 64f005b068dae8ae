"""Decide when a signal takes text back in place of the model, which needs no training.

:class:`Watch` follows one response. It is asked before each action with what is live and the value of the
signal in that state, in any engine of hard context.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError


class TextSignal(StrEnum):
    """The signals that logits alone tell; the larger, the less certain a model is."""

    ENTROPY = "entropy"
    """Entropy of the next token of text, in nats."""
    MARGIN = "margin"
    """Minus the difference of the two largest probabilities, in [-1, 0]."""


class StateSignal(StrEnum):
    """The signals of a state that logits do not tell: an engine must show hidden states."""

    HEAD = "head"
    """What a verifier head reads from the hidden state at the last live token."""
    PHASE_SHIFT = "phase-shift"
    """Minus the cosine between the hidden states at the last two live tokens (LPSR, arXiv 2604.18567)."""


class Scope(StrEnum):
    """The text whose value is held against the threshold."""

    STEP = "step"
    """A step, when it is finished: the mean over its tokens for signals of text, the largest value at a token
    for a phase shift, and what a head reads at the last one."""
    TOKEN = "token"  # noqa: S105 - the name of a setting
    """Every token."""


@dataclass(frozen=True)
class Trigger:
    """The settings by which a signal takes text back.

    Args:
        signal: The signal.
        threshold: Values above it take text back; by the number of steps, from 1, of which the last one holds
            for all that follow.
        edit_id: Id of the edit that is taken: a step backtrack, or a backtrack.
        scope: The text whose value counts.
        tokens: Least number of tokens that are taken back; edits follow one another until so many are gone,
            or nothing is left.
        budget: Largest number of times that text is taken back.
        gate: Entropy of the next token of text that must be exceeded, too; None for none.
        layer: Number of the layer whose states are read (:class:`StateSignal`), 0 for the embeddings.
        head: Function from hidden states, Float[R, H], to a number each, Float[R] (:attr:`StateSignal.HEAD`).

    Raises:
        SettingsError: A value is out of range, or a head is missing, or has no meaning.
    """

    signal: TextSignal | StateSignal
    threshold: tuple[float, ...]
    edit_id: int
    scope: Scope = Scope.STEP
    tokens: int = 1
    budget: int = 4
    gate: float | None = None
    layer: int | None = None
    head: Any = None

    def __post_init__(self) -> None:
        if not self.threshold or any(value != value for value in self.threshold):  # noqa: PLR0124 - nan
            raise SettingsError(f"The thresholds are {list(self.threshold)}.", "Give a number at least.")
        if self.tokens < 1 or self.budget < 1:
            raise SettingsError(
                f"A signal takes back {self.tokens} tokens, {self.budget} times.", "Give 1 or more of each."
            )
        if isinstance(self.signal, StateSignal) != (self.layer is not None):
            raise SettingsError(
                f"{self.signal} with layer {self.layer}.", "Give a layer for signals of hidden states alone."
            )
        if (self.signal is StateSignal.HEAD) != (self.head is not None):
            raise SettingsError(
                f"{self.signal} with{'' if self.head is not None else 'out'} a head.",
                "Give a fitted head for the signal head alone.",
            )

    def require_edit(self, vocab: EditVocab) -> None:
        """Refuse an edit that the vocabulary does not have.

        Raises:
            SettingsError: The id is not an edit.
        """
        if self.edit_id not in vocab.edit_ids:
            raise SettingsError(
                f"A signal is to take back by id {self.edit_id}, which is not an edit of {vocab.roles}.",
                "Give the id of an edit token (`halluc add-token` adds one, without training).",
            )


def e3rl_like(vocab: EditVocab, by_depth: Sequence[float], budget: int = 4) -> Trigger:
    """Return a setting in the manner of E3RL: a finished step of high mean entropy is erased.

    E3RL (arXiv 2606.17735) erases segments by the model's own entropy, with a threshold for each segment, and
    keeps the cache of what is left. Written from its abstract: the rule of its thresholds is not known here,
    and they are quantiles of live steps of the same number in a calibration set. Its training is left out.

    Args:
        vocab: The edit vocabulary, with a step backtrack.
        by_depth: Thresholds by the number of steps.
        budget: Largest number of erased steps.

    Raises:
        SettingsError: There is no step backtrack.
    """
    return Trigger(TextSignal.ENTROPY, tuple(by_depth), step_edit(vocab), budget=budget)


def lpsr_like(
    vocab: EditVocab, threshold: float, *, gate: float, layer: int, tokens: int = 8, budget: int = 4
) -> Trigger:
    """Return a setting in the manner of LPSR: a phase shift at high entropy rolls some tokens back.

    LPSR (arXiv 2604.18567) watches the residual stream at one layer for abrupt reversals of direction, with a
    gate on cosine similarity and entropy, rolls the cache back and adds a steering vector. Written from its
    abstract: how many tokens it rolls back is not known here, and no vector is added.

    Args:
        vocab: The edit vocabulary.
        threshold: Minus the cosine that must be exceeded.
        gate: Entropy of the next token of text that must be exceeded, too, in nats.
        layer: Number of the layer that is watched.
        tokens: Number of tokens that are rolled back.
        budget: Largest number of rollbacks.
    """
    return Trigger(
        StateSignal.PHASE_SHIFT, (threshold,), vocab.backtrack, Scope.TOKEN, tokens, budget, gate, layer
    )


def step_edit(vocab: EditVocab) -> int:
    """Return the id of the step backtrack.

    Raises:
        SettingsError: There is none.
    """
    if vocab.step is None:
        raise SettingsError(
            "The model has no step backtrack, by which a step is taken back.",
            "Add it without training, `halluc add-token --step`, or take tokens back.",
        )
    return vocab.step


class Watch:
    """Follows one response and says when its next action is an edit.

    Args:
        trigger: The settings.
        delimiters: Ids that end a step.
    """

    __slots__ = ("_delimiters", "_left", "_next", "_target", "_trigger", "_values", "_whole")

    def __init__(self, trigger: Trigger, delimiters: Collection[int]) -> None:
        self._trigger, self._delimiters, self._left = trigger, frozenset(delimiters), trigger.budget
        self._values: list[float] = []
        self._next = 0.0
        self._target: int | None = None
        # The value of a distribution is that of the token which is drawn from it; a state's is its own.
        self._whole = isinstance(trigger.signal, TextSignal)

    def edit_now(self, live_ids: Sequence[int], value: float, entropy: float = 0.0) -> bool:
        """Return whether the next action is the edit; in one state it may be asked several times.

        Args:
            live_ids: What is live of the response.
            value: The signal in this state.
            entropy: Entropy of the next token of text in this state, which a gate asks for.
        """
        length, values = len(live_ids), self._values
        grown = length > len(values)
        del values[length:]
        if grown:
            values.append(self._next if self._whole else value)
        self._next = value
        if self._target is not None and length > self._target:
            return True
        self._target = None
        if not (grown and self._left and self._passed(live_ids, entropy)):
            return False
        self._left -= 1
        self._target = max(0, length - self._trigger.tokens)
        return True

    def _passed(self, live_ids: Sequence[int], entropy: float) -> bool:
        trigger, values, steps = self._trigger, self._values, 0
        if trigger.gate is not None and not entropy > trigger.gate:
            return False
        ends = [at for at, token in enumerate(live_ids, 1) if token in self._delimiters]
        if trigger.scope is Scope.TOKEN:
            value, steps = values[-1], len(ends) + (not ends or ends[-1] < len(live_ids))
        elif ends and ends[-1] == len(live_ids):
            value, steps = self._of_step(values[ends[-2] if len(ends) > 1 else 0 :]), len(ends)
        else:
            return False
        return value > trigger.threshold[min(steps, len(trigger.threshold)) - 1]

    def _of_step(self, values: Sequence[float]) -> float:
        # As a probe of signals has it (jobs.signals.reading.value_at), whose thresholds these are.
        if self._whole:
            return sum(values) / len(values)
        return max(values) if self._trigger.signal is StateSignal.PHASE_SHIFT else values[-1]
