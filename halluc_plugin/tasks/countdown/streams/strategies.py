"""The searches that write streams: depth-first and breadth-first, by two heuristics (arXiv 2404.03683, 3).

As in the released code, depth-first search leaves out states that the heuristic rates above the target and
tries the others best first; breadth-first search keeps the best states behind each state, writes them in
random order, and goes on with the best that are left. Unlike there, results are positive and no larger than
the largest that a problem allows, equations are not repeated, and single numbers are not searched from.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations, count

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.tasks.countdown.solver import OPERATIONS, Step, apply
from halluc_plugin.tasks.countdown.streams.lines import Explore, GaveUp, Leaf, Line, Numbers, Path, Visit

BREADTHS = range(1, 6)


class Order(StrEnum):
    """The order in which states are searched."""

    DEPTH_FIRST = "dfs"
    BREADTH_FIRST = "bfs"


class Heuristic(StrEnum):
    """What rates a state; lower is better."""

    SUM = "sum"
    """Mean distance of its numbers to the target."""
    MULT = "mult"
    """Sum over its numbers of the distance to the nearest factor of the target, 1 left out."""

    def rate(self, numbers: Numbers, target: int) -> float:
        """Return the rating of a state."""
        if self is Heuristic.SUM:
            return sum(abs(number - target) for number in numbers) / len(numbers)
        factors = [factor for factor in range(2, target + 1) if target % factor == 0]
        return sum(min(abs(number - factor) for factor in factors) for number in numbers)


@dataclass(frozen=True)
class Strategy:
    """A way to search.

    Args:
        order: The order in which states are searched.
        heuristic: What rates states.
        breadth: Number of states that are kept behind each state; None for depth-first search.

    Raises:
        SettingsError: Breadth-first search has no breadth, or depth-first search has one.
    """

    order: Order
    heuristic: Heuristic
    breadth: int | None = None

    def __post_init__(self) -> None:
        if (self.order is Order.BREADTH_FIRST) is not (self.breadth is not None and self.breadth >= 1):
            raise SettingsError(
                f"The breadth of {self.order} is {self.breadth}.", "Give bfs 1 or more, and dfs none."
            )

    @property
    def name(self) -> str:
        """Its name, such as ``dfs-sum`` or ``bfs-mult-3``."""
        return "-".join([self.order, self.heuristic, *([] if self.breadth is None else [str(self.breadth)])])


STRATEGIES: tuple[Strategy, ...] = (
    *(Strategy(Order.DEPTH_FIRST, heuristic) for heuristic in Heuristic),
    *(Strategy(Order.BREADTH_FIRST, heuristic, breadth) for heuristic in Heuristic for breadth in BREADTHS),
)
"""The twelve strategies of the paper."""


def draw_strategy(rng: np.random.Generator) -> Strategy:
    """Return a random strategy as in the paper: an order, a heuristic, then a breadth, each alike likely."""
    order, heuristic = list(Order)[int(rng.integers(2))], list(Heuristic)[int(rng.integers(2))]
    breadth = int(rng.choice(BREADTHS)) if order is Order.BREADTH_FIRST else None
    return Strategy(order, heuristic, breadth)


@dataclass(frozen=True)
class Node:
    """A state of a search: the numbers that are left, and the equations that led there."""

    numbers: Numbers
    path: Path


def successors(node: Node, largest: int) -> list[Node]:
    """Return the states behind a state, each once: two numbers are replaced by a result.

    Args:
        node: The state.
        largest: Equations with larger results are left out.
    """
    found: dict[Step, Node] = {}
    for i, j in combinations(range(len(node.numbers)), 2):
        rest = [number for k, number in enumerate(node.numbers) if k not in (i, j)]
        for operation in OPERATIONS:
            a, b = node.numbers[i], node.numbers[j]
            if operation in "-/" and a < b:
                a, b = b, a
            result = apply(operation, a, b)
            if result is not None and result <= largest:
                step = (a, operation, b, result)
                found.setdefault(step, Node((*rest, result), (*node.path, step)))
    return list(found.values())


def search(
    strategy: Strategy, numbers: Numbers, target: int, *, largest: int, rng: np.random.Generator
) -> list[Line]:
    """Return the stream of a search, which ends with the target or without it.

    Args:
        strategy: The way to search.
        numbers: The numbers of the problem.
        target: The number to reach.
        largest: Equations with larger results are left out.
        rng: Source of the random order in which breadth-first search writes.
    """
    root = Node(numbers, ())
    if strategy.order is Order.DEPTH_FIRST:
        lines = list(_depth_first(strategy.heuristic, root, target, largest))
    else:
        lines = list(_breadth_first(strategy, root, target, largest, rng))
    return lines if _reached(lines[-1]) else [*lines, GaveUp()]


def optimal(numbers: Numbers, target: int, solution: Path) -> list[Line]:
    """Return the stream that writes nothing but a right path: the paper's optimal path."""
    lines: list[Line] = []
    node = Node(numbers, ())
    for step in solution:
        lines.append(Visit(node.numbers, node.path))
        left = list(node.numbers)
        for operand in (step[0], step[2]):
            left.remove(operand)
        node = Node((*left, step[3]), (*node.path, step))
        lines.append(_line(node, target))
    return lines


def _depth_first(heuristic: Heuristic, node: Node, target: int, largest: int) -> Iterator[Line]:
    yield Visit(node.numbers, node.path)
    rated = [(heuristic.rate(after.numbers, target), after) for after in successors(node, largest)]
    kept = [after for rating, after in sorted(rated, key=lambda pair: pair[0]) if rating <= target]
    away = False
    for after in kept:
        if away:
            yield Visit(node.numbers, node.path)
        line = _line(after, target)
        yield line
        if _reached(line):
            return
        away = len(after.numbers) > 1
        if away:
            for line in _depth_first(heuristic, after, target, largest):
                yield line
                if _reached(line):
                    return


def _breadth_first(
    strategy: Strategy, root: Node, target: int, largest: int, rng: np.random.Generator
) -> Iterator[Line]:
    numbered = count()  # of states that are rated alike the first found is the first searched from
    waiting: list[tuple[float, int, Node]] = [(0.0, next(numbered), root)]
    while waiting:
        for _, _, node in [heapq.heappop(waiting) for _ in range(min(strategy.breadth or 1, len(waiting)))]:
            yield Visit(node.numbers, node.path)
            rated = [
                (strategy.heuristic.rate(after.numbers, target), next(numbered), after)
                for after in successors(node, largest)
            ]
            kept = sorted(rated)[: strategy.breadth]
            for place in rng.permutation(len(kept)):
                line = _line(kept[place][2], target)
                yield line
                if _reached(line):
                    return
            for entry in kept:
                if len(entry[2].numbers) > 1:
                    heapq.heappush(waiting, entry)


def _line(node: Node, target: int) -> Line:
    step = node.path[-1]
    if len(node.numbers) > 1:
        return Explore(step, node.numbers)
    return Leaf(step, target, node.numbers[0] == target)


def _reached(line: Line) -> bool:
    return isinstance(line, Leaf) and line.reached
