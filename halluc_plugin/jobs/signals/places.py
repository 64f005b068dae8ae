"""Sample answers of a policy, judge their steps, and choose the places at which signals are read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from halluc_plugin.jobs.assess.steps import Cutter, Judge, judge_of
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import End, Response, Space, wanted
from halluc_plugin.verifiers import StepKind


@dataclass(frozen=True)
class SignalPlace:
    """A place where a step has just been finished.

    Attributes:
        problem: Number of the problem.
        text: Token ids of the live text, not empty.
        start: Index of the first token of its last step.
        depth: Number of steps.
        dead: Whether the goal is out of reach of the text.
        fell: Whether the last step is wrong: it is the first behind which the goal is out of reach. None in
            text that was dead before, where a step is neither right nor wrong.
    """

    problem: int
    text: tuple[int, ...]
    start: int
    depth: int
    dead: bool
    fell: bool | None


@dataclass(frozen=True)
class Notice:
    """A text that a policy took something back from, while it was dead.

    Attributes:
        problem: Number of the problem.
        text: Token ids of the text before the edit.
        start: Index of the first token of the step that made it dead.
    """

    problem: int
    text: tuple[int, ...]
    start: int


def places_of(
    number: int, texts: Sequence[tuple[Sequence[int], bool]], cutter: Cutter, judge: Judge, most: int
) -> list[SignalPlace]:
    """Return distinct places in the answers to a problem, dead ones first.

    Args:
        number: Number of the problem.
        texts: Token ids of each answer, and whether it ended by itself.
        cutter: Cuts answers into steps.
        judge: The oracle of the problem.
        most: Largest number of places of each kind.
    """
    found: dict[tuple[int, ...], SignalPlace] = {}
    for ids, ended in texts:
        spans, alive = cutter.spans(ids, ended=ended), True
        for depth, ((start, end), step) in enumerate(zip(spans, judge(ids, spans), strict=True), 1):
            dead = not alive or step.kind is not StepKind.LIVE
            text = tuple(ids[:end])
            found.setdefault(text, SignalPlace(number, text, start, depth, dead, dead if alive else None))
            alive = not dead
    return [
        place
        for kind in (True, False)
        for place in [each for each in found.values() if each.dead is kind][:most]
    ]


def parted(
    places: Sequence[SignalPlace],
) -> tuple[list[SignalPlace], list[SignalPlace], list[SignalPlace]]:
    """Return the places that heads are fitted on, those that choose thresholds, and those that are measured.

    No two of them share a problem: they are of every fourth problem, of the others of even number, and of
    those of odd number.

    Args:
        places: The places.
    """
    return (
        [place for place in places if place.problem % 4 == 0],
        [place for place in places if place.problem % 4 == 2],
        [place for place in places if place.problem % 2 == 1],
    )


def notice_of(number: int, ids: Sequence[int], cutter: Cutter, judge: Judge) -> Notice | None:
    """Return the notice in an answer that an edit ended, None if the text before it was live.

    An unfinished step at its end is not judged.

    Args:
        number: Number of the problem.
        ids: Token ids before the first edit.
        cutter: Cuts answers into steps.
        judge: The oracle of the problem.
    """
    spans = cutter.spans(ids, ended=False)
    for (start, _), step in zip(spans, judge(ids, spans), strict=True):
        if step.kind is not StepKind.LIVE:
            return Notice(number, tuple(ids), start)
    return None


def sampled(
    sampler: Sampler, problems: Sequence[PosedProblem], space: Space, samples: int
) -> Iterator[list[tuple[tuple[int, ...], End]]]:
    """Yield the answers to each problem, as token ids and the reason why each ended.

    Args:
        sampler: The policy.
        problems: The problems.
        space: The space in which it is sampled.
        samples: Number of answers to each problem.
    """
    for problem in problems:
        found = sampler.sample([wanted(problem.prompt, Response(), space)] * samples)
        yield [(sample.ids, sample.end) for sample in found]


def judges_of(problems: Sequence[PosedProblem], cutter: Cutter) -> list[Judge]:
    """Return the oracle of each problem.

    Raises:
        DataError: A verifier judges no steps.
    """
    return [judge_of(problem, cutter) for problem in problems]
