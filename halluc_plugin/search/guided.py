"""The common parts of searches that a scorer of steps guides: drawing, rating, and the rated response."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from halluc_plugin.errors import TraceError
from halluc_plugin.sampling.rating import Rated, Spent, ToRate
from halluc_plugin.sampling.states import Request, Response, Sample, Space

NOTHING_WHOLE = Rated((0.0,), Spent())
Got = TypeVar("Got")
Part = Generator[list[Request | ToRate], list[Sample | Rated], Got]
"""A part of a guided search, to be called with ``yield from``."""


@dataclass(frozen=True)
class RatedResponse:
    """A response with the value of each of its prefixes.

    Attributes:
        response: The response, finished or not.
        steps: Token ids of its steps. The rest after the last complete step of a response that was cut off
            counts as a step.
        values: Value of the bare prompt, then of the prefix that ends with each step. A step that was cut off
            has the value 0, since no answer follows.
        finished: Whether the response ends with EOS.
    """

    response: Response
    steps: tuple[tuple[int, ...], ...]
    values: tuple[float, ...]
    finished: bool

    @property
    def final(self) -> float:
        """The value after the last step, which for a finished response is that of an outcome verifier."""
        return self.values[-1]

    @property
    def worth(self) -> float:
        """The final value of a finished response, 0 for one that was cut off."""
        return self.final if self.finished else 0.0

    @property
    def advantages(self) -> tuple[float, ...]:
        """The advantage of each step, Q(s_i, a_i) - Q(s_{i-1}, a_{i-1}) (OpenReview hJ2BCYGvFg, eq. 10)."""
        return tuple(after - before for before, after in zip(self.values, self.values[1:], strict=False))

    def before(self, step: int) -> Response:
        """Return the response before a step; steps count from 1."""
        kept = sum(len(ids) for ids in self.steps[: step - 1])
        return self.response.begun(kept)


def draw(requests: Sequence[Request]) -> Part[list[Sample]]:
    """Request samples from within a search."""
    given = yield list(requests)
    return [sample for sample in given if isinstance(sample, Sample)]


def rate(prompt: tuple[int, ...], responses: Sequence[Response], space: Space) -> Part[list[RatedResponse]]:
    """Request the rating of responses from within a search, finished ones and those that were cut off."""
    whole = [_whole_steps(response, space) for response in responses]
    given = yield [ToRate(prompt, steps) for steps in whole if steps]
    ratings = iter(given)
    rated = []
    for response, steps in zip(responses, whole, strict=True):
        rating = next(ratings) if steps else NOTHING_WHOLE
        assert isinstance(rating, Rated)
        rest = response.ids[sum(map(len, steps)) :]
        cut_off = [rest] if rest or not steps else []
        finished = bool(response.ids) and response.ids[-1] in space.eos_ids
        values = rating.values + (0.0,) * len(cut_off)
        rated.append(RatedResponse(response, (*steps, *cut_off), values, finished))
    return rated


def _whole_steps(response: Response, space: Space) -> tuple[tuple[int, ...], ...]:
    ends = space.delimiters | space.eos_ids
    places = [at for at, token in enumerate(response.ids, start=1) if token in ends]
    if places and places[-1] >= space.max_tokens and response.ids[-1] not in space.eos_ids:
        places.pop()  # a step that fills the room: nothing can follow it
    until = places[-1] if places else 0
    return tuple(space.steps(response.ids[:until]))


def require_steps(response: Response, space: Space) -> None:
    """Refuse a response that comes from outside the search and cannot be rated.

    Raises:
        TraceError: The response ends no step, or continues after an EOS.
    """
    if not _whole_steps(response, space):
        raise TraceError(
            f"A response of {len(response.ids)} tokens ends no step.",
            "Give one with a step delimiter or EOS, and the step delimiter that it was written with.",
        )
    if space.eos_ids.intersection(response.ids[:-1]):
        raise TraceError("A response goes on after an end-of-sequence token.", "Cut it there.")


def answer_first(best: RatedResponse, others: Sequence[RatedResponse]) -> list[Response]:
    """Return the result of a guided search: its answer if that is finished, then all other finished ones."""
    answer = [best.response] if best.finished else []
    return answer + [other.response for other in others if other.finished and other is not best]
