"""Judge what a model does with given steps whose first wrong one is known, as in ProcessBench.

Labels judge the steps that were given, and nothing that the model writes after them. So only the first event
that erases a given token counts; events that stay within the model's own text are left out. A wrong step is
bad from its first token on, since a label speaks of a step as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.judged import JudgedTrace, judge_traces

if TYPE_CHECKING:
    from halluc_plugin.edits import EditEvent, EditVocab


@dataclass(frozen=True)
class LabelledSteps:
    """The start of a response, given to the model.

    Attributes:
        ids: Token ids of the given steps, at least one.
        num_good: Number of tokens, from the first, that belong to right steps; all of them if no step is
            wrong.

    Raises:
        MetricError: There is no token, or ``num_good`` is not between 0 and the number of tokens.
    """

    ids: tuple[int, ...]
    num_good: int

    def __post_init__(self) -> None:
        if not self.ids or not 0 <= self.num_good <= len(self.ids):
            raise MetricError(
                f"{self.num_good} of {len(self.ids)} given tokens are said to be good.",
                "Give at least one token, and how many of them are good.",
            )

    @property
    def wrong(self) -> bool:
        """Whether the last of the steps is wrong."""
        return self.num_good < len(self.ids)

    def oracle(self, live_ids: Sequence[int]) -> bool:
        """Return whether a live prefix holds no token of the wrong step, by the labels alone."""
        return not self.wrong or len(live_ids) <= self.num_good


class Reaction(StrEnum):
    """The fate of the given steps."""

    KEPT = "kept"
    """No given token was erased."""
    UNDER = "under"
    """Some of the wrong step was erased, and some of it is left."""
    EXACT = "exact"
    """The wrong step was erased, and nothing before it."""
    OVER = "over"
    """Tokens of right steps were erased."""


@dataclass(frozen=True)
class JudgedReaction:
    """A model's reaction to given steps; :func:`judge_reaction` makes it.

    Attributes:
        steps: The steps that the model was given.
        reaction: The fate of these steps.
        trace: The given steps with the event that erased some of them, if any, for the metrics of events.
    """

    steps: LabelledSteps
    reaction: Reaction
    trace: JudgedTrace

    @property
    def right(self) -> bool:
        """Whether exactly the wrong step was erased; without a wrong step, whether nothing was."""
        return self.reaction is (Reaction.EXACT if self.steps.wrong else Reaction.KEPT)


def judge_reaction(steps: LabelledSteps, sampled: Sequence[int], vocab: "EditVocab") -> JudgedReaction:
    """Judge what a model sampled after given steps.

    Args:
        steps: The given steps, none of them an edit token.
        sampled: Raw ids that follow them.
        vocab: The edit vocabulary of the ids.

    Raises:
        TraceError: An id is negative.
    """
    from halluc_plugin.edits import collapse, events, resolve_row

    ids = [*steps.ids, *sampled]
    reaching = (e for e in events(resolve_row(ids, vocab)) if e.depth_after < len(steps.ids))
    event = next(reaching, None)
    judged = list(steps.ids)
    if event is not None:
        judged = collapse(ids[: event.start], vocab) + ids[event.start : event.stop]
    (trace,) = judge_traces(resolve_row(judged, vocab), [steps.oracle])
    return JudgedReaction(steps, _reaction(steps, event), trace)


def _reaction(steps: LabelledSteps, event: "EditEvent | None") -> Reaction:
    if event is None:
        return Reaction.KEPT
    if event.depth_after < steps.num_good:
        return Reaction.OVER
    return Reaction.EXACT if event.depth_after == steps.num_good else Reaction.UNDER
