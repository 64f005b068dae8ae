"""Draw arithmetic on a directed acyclic graph of definitions, modulo a prime.

    c=a+b,a=5,e=c*b,d=2,b=7?e mod 23      definitions in any order, and what is asked
    a=5                                   what is needed, each after what it needs itself
    b=7
    c=5+7=12
    e=12*7=15

The task follows iGSM, the task of Physics of Language Models 2.2 (arXiv 2408.16293, section 2): its
arithmetic without its English. The error of that paper is ``unready``: beginning with a variable that cannot
be worked out yet, and taking its name back. Deviation 1: the only definitions that are not needed are
numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from string import ascii_lowercase
from typing import ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.steps import Problem, ProblemSet, Sizes, check_seed
from halluc_plugin.tasks.dag.graph import Graph

NAME = "dag"
SOURCES = ("halluc/dag", "halluc/dag-long")
LARGEST_MODULUS = 400
NUMBERS = 4
"""Number of definitions that are numbers, needed or not."""
MOST_OPERATIONS = len(ascii_lowercase) - NUMBERS


class DagError(StrEnum):
    """The kind of error in a step."""

    UNREADY = "unready"
    """The name of a variable whose operands are not all worked out yet."""
    RESULT = "result"
    """The right operands with another result; of a number, another number."""
    OPERAND = "operand"
    """The value of another variable in place of an operand's, worked out correctly."""


@dataclass(frozen=True)
class DagProblems(ProblemSet):
    """Problems of arithmetic on graphs.

    Args:
        modulus: All numbers are below it; 23 in the paper.
        sizes: Number of operations that are needed.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    name: ClassVar[str] = NAME
    sources: ClassVar[tuple[str, ...]] = SOURCES

    modulus: int = option(23, "All numbers are below it.")
    sizes: Sizes = parts(
        Sizes(2, 8, 12),
        smallest="Fewest operations that are needed.",
        largest="Most operations in training.",
        longest="Most operations in test_long.",
    )
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if not 2 <= self.modulus <= LARGEST_MODULUS:
            raise SettingsError(f"The modulus is {self.modulus}.", f"Give 2 to {LARGEST_MODULUS}.")
        if self.sizes.longest > MOST_OPERATIONS:
            raise SettingsError(
                f"{self.sizes.longest} operations need more variables than there are letters.",
                f"Give at most {MOST_OPERATIONS}.",
            )
        check_seed(self.seed)

    @property
    def kinds(self) -> Sequence[DagError]:
        """The kinds of error that there are."""
        return list(DagError)

    def draw(self, size: int, rng: np.random.Generator) -> Problem:
        """Return a random graph with ``size`` needed operations."""
        letters = [ascii_lowercase[i] for i in rng.permutation(len(ascii_lowercase))[: size + NUMBERS]]
        numbers, operations = letters[:NUMBERS], letters[NUMBERS:]
        definitions = {name: str(rng.integers(self.modulus)) for name in numbers}
        needed = {operations[-1]}
        for place in range(size - 1, -1, -1):
            name, earlier = operations[place], operations[:place]
            operands = [str(n) for n in rng.permutation([*earlier, *numbers])[:2]]
            # Each operation is needed by a later one: the last chance to need `earlier[-1]` is here.
            if earlier and earlier[-1] not in needed.union(operands):
                operands[int(rng.integers(2))] = earlier[-1]
            needed.update(operands)
            definitions[name] = f"{operands[0]}{'+-*'[int(rng.integers(3))]}{operands[1]}"
        shuffled = [f"{name}={definitions[name]}" for name in rng.permutation(list(definitions))]
        truth = {"definitions": shuffled, "query": operations[-1], "modulus": self.modulus}
        prompt = f"{','.join(shuffled)}?{operations[-1]} mod {self.modulus}\n"
        return Problem(prompt, truth, Graph(truth).reference_steps())

    def wrong(self, kind: DagError, problem: Problem, step: int, rng: np.random.Generator) -> str | None:
        """Return an error in place of a step."""
        graph = Graph(problem.truth)
        done = [line[0] for line in problem.steps[:step]]
        if kind is DagError.UNREADY:
            unready = [line[0] for line in problem.steps[step:] if not graph.is_ready(line[0], done)]
            return unready[int(rng.integers(len(unready)))] if unready else None
        right = problem.steps[step]
        name, result = right[0], graph.values[right[0]]
        if kind is DagError.RESULT:
            another = (result + 1 + int(rng.integers(self.modulus - 1))) % self.modulus
            return f"{right.rstrip().rpartition('=')[0]}={another}\n"
        others = sorted({graph.values[other] for other in done})
        if not graph.operands(name) or not others:
            return None
        operands = [graph.values[operand] for operand in graph.operands(name)]
        operands[int(rng.integers(2))] = others[int(rng.integers(len(others)))]
        wrong = graph.line(name, operands)
        return None if wrong == right else wrong
