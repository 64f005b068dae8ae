"""Many searches on one sampler: their requests are sampled together, and each search pays for its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from halluc_plugin.errors import TraceError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.states import Request, Response, Sample, Search


class Sampler(Protocol):
    """A model that can be asked for samples."""

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request, in order."""
        ...


@dataclass
class Cost:
    """What a search took.

    Attributes:
        tokens: Sampled tokens, edits and what was rolled back included.
        context: Positions that all forward slots attended to together.
        slots: Forward slots: the prompt once, and each sampled token. A prefix that has been computed is not
            computed again, as in an engine with a prefix cache.
    """

    tokens: int = 0
    context: int = 0
    slots: int = 0

    def prefill(self, length: int) -> None:
        """Count a prompt."""
        self.slots += length
        self.context += length * (length + 1) // 2

    def add(self, prefix: int, sampled: int) -> None:
        """Count a sample of so many tokens behind a prefix of so many."""
        self.tokens += sampled
        self.slots += sampled
        self.context += sampled * prefix + sampled * (sampled + 1) // 2

    def flops(self, shape: DecoderShape) -> int:
        """Forward cost by :meth:`halluc_plugin.metrics.DecoderShape.flops`."""
        return shape.flops(self.slots, self.context)


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        responses: Finished responses, in the order found; equal ones as often as they were found.
        cost: What it took.
        samples: What it asked for and was given, in order; empty where a search keeps no account.
    """

    responses: list[Response]
    cost: Cost
    samples: Sequence[tuple[Request, Sample]] = ()


def run(searches: Sequence[Search], prompts: Sequence[tuple[int, ...]], sampler: Sampler) -> list[Found]:
    """Run searches together until all are done.

    Args:
        searches: One for each prompt.
        prompts: Their prompts, for the costs.
        sampler: Answers the requests of all of them in one call after the other.

    Raises:
        TraceError: There are not as many prompts as searches.
    """
    if len(searches) != len(prompts):
        raise TraceError(f"{len(searches)} searches for {len(prompts)} prompts.", "Give one for each.")
    costs = [Cost() for _ in searches]
    found: dict[int, list[Response]] = {}
    pending: dict[int, list[Request]] = {}
    taken: list[list[tuple[Request, Sample]]] = [[] for _ in searches]

    def advance(number: int, samples: list[Sample] | None) -> None:
        try:
            search = searches[number]
            pending[number] = next(search) if samples is None else search.send(samples)
        except StopIteration as stop:
            pending.pop(number, None)
            found[number] = stop.value

    for number, prompt in enumerate(prompts):
        costs[number].prefill(len(prompt))
        advance(number, None)
    while pending:
        batch = [(number, request) for number, requests in pending.items() for request in requests]
        samples = sampler.sample([request for _, request in batch])
        answers: dict[int, list[Sample]] = {number: [] for number in pending}
        for (number, request), sample in zip(batch, samples, strict=True):
            costs[number].add(len(request.prefix), len(sample.ids))
            answers[number].append(sample)
            taken[number].append((request, sample))
        for number, of_search in answers.items():
            advance(number, of_search)
    return [Found(found[number], costs[number], taken[number]) for number in range(len(searches))]
