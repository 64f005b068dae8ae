"""Baseline searches: greedy decoding, and trees of steps."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.independent import samples_that_end
from halluc_plugin.sampling.states import End, Response, Search, Space, wanted

StepOracle = Callable[[Sequence[int]], bool]
"""``oracle(response_ids)``: can this prefix still become a right answer? It gets no EOS."""


def greedy(prompt: tuple[int, ...], space: Space) -> Search:
    """Return a search that takes the likeliest token at each place."""
    return samples_that_end(prompt, replace(space, temperature=0.0), 1)


def breadth_first(
    prompt: tuple[int, ...], space: Space, proposals: int, width: int, oracle: StepOracle | None = None
) -> Search:
    """Search step by step: every kept state proposes steps, and the best states are kept.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples. A proposal that ends with an edit or by length is a dead
            end.
        proposals: Number of steps sampled from each state.
        width: Number of states kept at each depth, by mean log-probability.
        oracle: Function that returns whether a state can still succeed; other states are dropped. None for
            the model alone.

    Raises:
        SettingsError: ``proposals`` or ``width`` is below 1.
    """
    _check(proposals=proposals, width=width)
    return _breadth_first(prompt, space, proposals, width, oracle)


def _breadth_first(
    prompt: tuple[int, ...], space: Space, proposals: int, width: int, oracle: StepOracle | None
) -> Search:
    frontier, finished = [Response()], list[Response]()
    while frontier:
        states = [state for state in frontier for _ in range(proposals)]
        samples = yield [wanted(prompt, state, space, steps=True) for state in states]
        children: dict[tuple[int, ...], Response] = {}
        for state, sample in zip(states, samples, strict=True):
            child = state.extended(sample)
            if sample.end is End.EOS and _stands(child, oracle):
                finished.append(child)
            elif sample.end is End.STEP and _goes_on(child, space, oracle):
                children.setdefault(child.ids, child)
        frontier = sorted(children.values(), key=lambda child: -child.mean_logprob)[:width]
    return finished


def depth_first(
    prompt: tuple[int, ...], space: Space, proposals: int, budget: int, oracle: StepOracle | None = None
) -> Search:
    """Follow the likeliest proposal and return to the next one at a dead end, until an answer is found.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples. A proposal that ends with an edit or by length is a dead
            end.
        proposals: Number of steps sampled from each state.
        budget: Largest number of states to expand.
        oracle: Function that returns whether a state can still succeed; other states are dropped. None for
            the model alone.

    Raises:
        SettingsError: ``proposals`` or ``budget`` is below 1.
    """
    _check(proposals=proposals, budget=budget)
    return _depth_first(prompt, space, proposals, budget, oracle)


def _depth_first(
    prompt: tuple[int, ...], space: Space, proposals: int, budget: int, oracle: StepOracle | None
) -> Search:
    stack, visited = [Response()], {Response().ids}
    for _ in range(budget):
        if not stack:
            return []
        state = stack.pop()
        samples = yield [wanted(prompt, state, space, steps=True)] * proposals
        children: dict[tuple[int, ...], Response] = {}
        ended = [state.extended(sample) for sample in samples if sample.end is End.EOS]
        finished = [response for response in ended if _stands(response, oracle)]
        if finished:
            return [max(finished, key=lambda response: response.mean_logprob)]
        for sample in samples:
            child = state.extended(sample)
            fresh = child.ids not in visited
            if sample.end is End.STEP and fresh and _goes_on(child, space, oracle):
                children.setdefault(child.ids, child)
        visited.update(children)
        stack += sorted(children.values(), key=lambda child: child.mean_logprob)
    return []


def _goes_on(state: Response, space: Space, oracle: StepOracle | None) -> bool:
    return len(state.ids) < space.max_tokens and (oracle is None or oracle(state.ids))


def _stands(response: Response, oracle: StepOracle | None) -> bool:
    """Whether a finished response is not refuted."""
    return oracle is None or oracle(response.ids[:-1])


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise SettingsError(f"{name} is {count}.", "Give at least 1.")
