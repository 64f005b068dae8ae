"""Run many searches on one sampler: requests are sampled together, costs are counted for each search.

A search may also use a scorer of steps and a second model. In each round the requests of all searches to one
of them are made in one call.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.sampling.costs import Computed, Cost
from halluc_plugin.sampling.rating import Rated, Rater, Spent, ToRate
from halluc_plugin.sampling.states import GuidedSearch, Request, Response, Sample, Search, Writer

__all__ = ["Cost", "Found", "Sampler", "run"]

OTHERS = (Writer.CORRECTOR, Writer.DRAFT)
"""The models beside the one that answers, in the order in which :class:`Found` has their costs."""


class Sampler(Protocol):
    """The interface of a model that can be sampled."""

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Return one sample for each request, in order."""
        ...


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        responses: Finished responses, in the order found; equal ones as often as they were found. A guided
            search puts its answer first.
        cost: Cost of the model that answers, and of the scorer.
        samples: The requests and their samples, in order; empty if a search keeps no account.
        corrected: Cost of the corrector.
        drafted: Cost of the draft model.
    """

    responses: list[Response]
    cost: Cost
    samples: Sequence[tuple[Request, Sample]] = ()
    corrected: Cost = field(default_factory=Cost)
    drafted: Cost = field(default_factory=Cost)


def run(
    searches: Sequence[Search | GuidedSearch],
    prompts: Sequence[tuple[int, ...]],
    sampler: Sampler,
    *,
    rater: Rater | None = None,
    corrector: Sampler | None = None,
    draft: Sampler | None = None,
) -> list[Found]:
    """Run searches together until all are done.

    Args:
        searches: One search for each prompt.
        prompts: The token ids of each prompt, for the costs.
        sampler: The model that answers the requests of all searches, one call after the other.
        rater: The scorer that rates responses, one call after the other; None for none. A response is rated
            only once for a search.
        corrector: The model that answers the requests to :attr:`Writer.CORRECTOR`; None for none.
        draft: The model that answers the requests to :attr:`Writer.DRAFT`; None for none.

    Returns:
        The result of each search, in order.

    Raises:
        TraceError: The number of prompts is not that of searches.
        SettingsError: A search uses a rater, a corrector or a draft model, and there is none.
    """
    if len(searches) != len(prompts):
        raise TraceError(f"{len(searches)} searches for {len(prompts)} prompts.", "Give one for each.")
    running = [_Running(search, prompt) for search, prompt in zip(searches, prompts, strict=True)]
    samplers = {Writer.POLICY: sampler, Writer.CORRECTOR: corrector, Writer.DRAFT: draft}
    for one in running:
        one.advance()
    while active := [one for one in running if not one.done]:
        _sample(active, samplers)
        _rate(active, rater)
        for one in active:
            one.advance()
    return [
        Found(one.found, one.costs[Writer.POLICY], one.samples, *(one.costs[other] for other in OTHERS))
        for one in running
    ]


class _Running:
    """A search under way: what it waits for, what it was given, and what that cost."""

    def __init__(self, search: Search | GuidedSearch, prompt: tuple[int, ...]) -> None:
        self._search: Generator[Any, Any, list[Response]] = search
        self._started = False
        self.done = False
        self.wants: Sequence[Request | ToRate] = ()
        self.given: dict[int, Sample | Rated] = {}
        self.found: list[Response] = []
        self.samples: list[tuple[Request, Sample]] = []
        self.rated: dict[ToRate, tuple[float, ...]] = {}
        self.costs = {writer: Cost() for writer in Writer}
        self._computed = {writer: Computed() for writer in Writer}
        self.costs[Writer.POLICY].prefill(len(prompt))
        self._computed[Writer.POLICY].add(prompt)

    def advance(self) -> None:
        """Hand over what was given, and learn what is wanted next."""
        try:
            if self._started:
                self.wants = self._search.send([self.given[i] for i in range(len(self.wants))])
            else:
                self._started, self.wants = True, next(self._search)
            self.given = {}
        except StopIteration as stop:
            self.done, self.found = True, stop.value

    def sampled(self, number: int, request: Request, sample: Sample) -> None:
        """Take a sample, and pay for it."""
        self.costs[request.writer].pay(request, sample, self._computed[request.writer])
        self.given[number] = sample
        self.samples.append((request, sample))

    def unrated(self) -> list[ToRate]:
        """What is to be rated and was not before, each once."""
        asked = dict.fromkeys(want for want in self.wants if isinstance(want, ToRate))
        return [want for want in asked if want not in self.rated]


def _sample(active: Sequence[_Running], samplers: Mapping[Writer, Sampler | None]) -> None:
    for writer, sampler in samplers.items():
        asked = [
            (one, number, want)
            for one in active
            for number, want in enumerate(one.wants)
            if isinstance(want, Request) and want.writer is writer
        ]
        if not asked:
            continue
        if sampler is None:
            raise SettingsError(f"A search asks the {writer}, and there is none.", "Give one to run().")
        samples = sampler.sample([request for _, _, request in asked])
        for (one, number, request), sample in zip(asked, samples, strict=True):
            one.sampled(number, request, sample)


def _rate(active: Sequence[_Running], rater: Rater | None) -> None:
    asked = [(one, want) for one in active for want in one.unrated()]
    spent: dict[tuple[int, ToRate], Spent] = {}
    if asked:
        if rater is None:
            raise SettingsError("A search asks for values of steps, and nothing rates.", "Give a rater.")
        ratings = rater.rate([want.prompt for _, want in asked], [want.steps for _, want in asked])
        rows = ratings.values.tolist()
        for (one, want), row, paid in zip(asked, rows, ratings.spent, strict=True):
            one.rated[want] = _checked(row[: len(want.steps) + 1])
            one.costs[Writer.POLICY].rated += paid
            spent[id(one), want] = paid
    for one in active:
        for number, wanted in enumerate(one.wants):
            if isinstance(wanted, ToRate):
                one.given[number] = Rated(one.rated[wanted], spent.pop((id(one), wanted), Spent()))


def _checked(values: Sequence[float]) -> tuple[float, ...]:
    if not all(0 <= value <= 1 for value in values):
        raise TraceError(f"A scorer gave the values {list(values)}.", "Give one in [0, 1] for each step.")
    return tuple(values)
