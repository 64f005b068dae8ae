"""The settings of a decoding, and the trace that it gives."""

from dataclasses import dataclass, field
from enum import StrEnum

from halluc_plugin.decoding.forcing import Forcing
from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.decoding.triggers import Trigger
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError


class Finish(StrEnum):
    """The reason why a response ended."""

    EOS = "eos"
    LENGTH = "length"
    """The response has as many actions as it may, or its live tokens fill the model's positions."""


@dataclass(frozen=True)
class Decoding:
    """The settings of a decoding.

    Args:
        vocab: The edit vocabulary. Ids that are not tokens have probability 0.
        max_actions: Largest number of raw actions per response, edits and erased tokens included.
        context: What the model sees after an edit, soft or hard.
        temperature: Sampling temperature; 0 decodes greedily. Greedy hard context needs ``tabu`` or a
            ``budget``, since an error and its backtrack lead back to the very same state.
        budget: Largest number of effective edits per response, None for no limit.
        boundary: The effect of an edit on an empty response.
        tabu: What an edit bans of the span it erases (evaluation only). True stands for :attr:`Tabu.LAST`.
        eos_ids: Ids that end a response; they count as text.
        trigger: The settings by which a signal takes text back in place of the model, whose own edits are
            banned then; None for none.
        delimiters: Ids that end a step, with ``trigger``.
        forcing: The settings by which a response may not end yet (evaluation only); None for none.

    Raises:
        SettingsError: A value is out of range, greedy hard decoding could loop forever, a signal takes back
            in soft context, or no response could end.
    """

    vocab: EditVocab
    max_actions: int
    context: Context = Context.SOFT
    temperature: float = 1.0
    budget: int | None = None
    boundary: Boundary = Boundary.NOOP
    tabu: Tabu | bool = Tabu.OFF
    eos_ids: frozenset[int] = field(default_factory=frozenset)
    trigger: Trigger | None = None
    delimiters: frozenset[int] = field(default_factory=frozenset)
    forcing: Forcing | None = None

    def __post_init__(self) -> None:
        if self.max_actions < 1:
            raise SettingsError(f"max_actions is {self.max_actions}.", "Give at least 1.")
        if self.temperature < 0:
            raise SettingsError(f"temperature is {self.temperature}.", "Give 0 for greedy, or more.")
        object.__setattr__(self, "tabu", Tabu.of(self.tabu))
        if self.trigger is not None:
            self._check_trigger(self.trigger)
        if self.forcing is not None:
            signal = self.trigger is not None
            self.forcing.require_sense(self.budget, self.eos_ids, signal=signal)
        free = self.tabu is Tabu.OFF and self.budget is None
        if self.context is Context.HARD and self.temperature == 0 and free:
            raise SettingsError(
                "Greedy decoding in hard context returns to the same state after every backtrack and loops.",
                "Set tabu=True, a budget, or a temperature above 0.",
            )

    def _check_trigger(self, trigger: Trigger) -> None:
        trigger.require_edit(self.vocab)
        if self.context is Context.SOFT or self.budget not in {None, 0}:
            raise SettingsError(
                f"A signal takes text back in {self.context} context with a budget of {self.budget} edits.",
                "Decode in hard context, without a budget: the model itself takes nothing back then.",
            )
        if self.temperature == 0 and self.tabu is Tabu.OFF:
            raise SettingsError(
                "What a signal takes back would be written again at temperature 0.",
                "Set a temperature above 0, or tabu.",
            )
        # The model's own edits are banned; the trigger has a budget of its own.
        object.__setattr__(self, "budget", 0)


@dataclass(frozen=True)
class DecodedTrace:
    """One sampled response of T actions.

    Attributes:
        ids: All actions, edits and a sampled EOS included, Int[T].
        logprobs: Log-probability of each action in nats under the sampling distribution (after bans and
            temperature; for greedy decoding at temperature 1).
        finish: The reason why the response ended.
        entropies: Entropy of that distribution before each action, in nats.
        edit_probs: Probability before each action that it is any edit token.
        values: What was read of the state before each action, then of the state behind the last one, Float[T
            + 1]; empty if nothing was to be read.
    """

    ids: list[int]
    logprobs: list[float]
    finish: Finish
    entropies: list[float]
    edit_probs: list[float]
    values: list[float] = field(default_factory=list)
