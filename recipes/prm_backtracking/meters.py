"""What searches have taken when, counted as the search driver counts, but after each revision or sample."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.costs import Computed, Cost
from halluc_plugin.sampling.states import Request, Response, Sample
from halluc_plugin.search.revision import Reading, Revision

if TYPE_CHECKING:
    from halluc_plugin.search.guided import RatedResponse


@dataclass(frozen=True)
class Point:
    """Where a search stands.

    Attributes:
        right: Whether the answer that it would give is right.
        tokens: Tokens that the policy has sampled.
        flops: Forward cost of policy and scorer, with the attention term; rollouts are left out.
        scorer_flops: What of them is the scorer's.
    """

    right: bool
    tokens: int
    flops: int
    scorer_flops: int

    def row(self) -> dict[str, Any]:
        """Return the point as JSON-able values."""
        return asdict(self) | {"right": int(self.right)}


class Meter:
    """Counts one search: each model computes a prefix once.

    Args:
        prompt: Ids of the prompt.
        policy: Sizes of the policy.
        scorer: Sizes of the scorer; None for one that costs nothing.
    """

    def __init__(self, prompt: Sequence[int], policy: DecoderShape, scorer: DecoderShape | None) -> None:
        self._shapes = policy, scorer
        self._costs, self._computed = (Cost(), Cost()), (Computed(), Computed())
        self._costs[0].prefill(len(prompt))
        self._computed[0].add(tuple(prompt))

    def wrote(self, prefix: Sequence[int], ids: Sequence[int]) -> None:
        """Count ids that the policy sampled after a prefix."""
        cost, computed = self._costs[0], self._computed[0]
        cost.prefill(len(prefix), reused=computed.reused(tuple(prefix)))
        cost.add(len(prefix), len(ids))
        computed.add((*prefix, *ids))

    def rated(self, ids: Sequence[int]) -> None:
        """Count ids that the scorer read."""
        cost, computed = self._costs[1], self._computed[1]
        cost.prefill(len(ids), reused=computed.reused(tuple(ids)))
        computed.add(tuple(ids))

    def at(self, *, right: bool) -> Point:
        """Return where the search stands."""
        policy, scorer = self._shapes
        scored = 0 if scorer is None else self._costs[1].flops(scorer)
        return Point(right, self._costs[0].tokens, self._costs[0].flops(policy) + scored, scored)


def revision_points(
    meter: Meter,
    first: Response,
    told: Sequence[Revision],
    samples: Sequence[tuple[Request, Sample]],
    *,
    prompt: tuple[int, ...],
    reading: Reading | None,
    right: Callable[[Response], bool],
    revisions: int,
) -> list[Point]:
    """Return where a search by Algorithm 1 stood before the first revision and after each.

    Once the search has ended, its last point is repeated.

    Args:
        meter: A meter that has counted nothing yet.
        first: The answer that it began with.
        told: Its revisions.
        samples: All that were sampled for them, in order.
        prompt: The problem's.
        reading: What the scorer read before new answers; None for the prompt alone.
        right: Judges an answer.
        revisions: M.
    """
    meter.wrote(prompt, first.ids)
    meter.rated((*prompt, *first.ids))
    points = [meter.at(right=right(first))]
    turns: list[RatedResponse] = []
    each = len(samples) // len(told) if told else 0
    for number, revision in enumerate(told):
        if not any(revision.before is turn for turn in turns):
            turns.append(revision.before)
        read = prompt if reading is None else reading(turns)
        for request, sample in samples[number * each : (number + 1) * each]:
            meter.wrote(request.prefix, sample.ids)
        for candidate in revision.candidates:
            meter.rated((*read, *candidate.response.ids))
        points.append(meter.at(right=right(revision.after.response)))
    return points + [points[-1]] * (revisions + 1 - len(points))


def ranked_points(
    meter: Meter,
    traces: Sequence[Sequence[int]],
    answers: Sequence[Response | None],
    scores: Sequence[float],
    *,
    prompt: tuple[int, ...],
    right: Callable[[Response], bool],
    counts: Sequence[int],
    enough: float,
) -> list[Point]:
    """Return where best-of-N stands for several N.

    Once an answer is good enough, nothing more is sampled, and the last point is repeated.

    Args:
        meter: A meter that has counted nothing yet.
        traces: What was sampled, edits included.
        answers: The text of each after its edits; None where it has no end.
        scores: Score of each answer.
        prompt: The problem's.
        right: Judges an answer.
        counts: The N, ascending.
        enough: p_des, the score at which nothing more is sampled, as in Algorithm 1.
    """
    points: list[Point] = []
    best, most = None, -1.0
    for number, (trace, answer, score) in enumerate(zip(traces, answers, scores, strict=True), start=1):
        if most < enough:
            meter.wrote(prompt, trace)
            if answer is not None:
                meter.rated((*prompt, *answer.ids))
                if score > most:
                    best, most = answer, score
        if number in counts:
            points.append(meter.at(right=best is not None and right(best)))
    return points
