"""Draw random 3-SAT problems until one can be solved."""

from dataclasses import dataclass
from string import ascii_lowercase
from typing import ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.search_files import SearchProblems
from halluc_plugin.problem_sets.steps import Problem, Sizes, check_seed
from halluc_plugin.tasks.sat.formula import MOST_VARIABLES, SatSearch, solutions_of

NAME = "sat"
SOURCES = ("halluc/sat", "halluc/sat-long")
DRAWS = 500
"""Number of formulas drawn for one problem before drawing is given up."""
MOST_CLAUSES = 50
"""Largest number of clauses for each variable. Of formulas with more clauses not one in ten million can be
solved, from three variables on: each of 2^variables assignments makes all clauses true with probability
(7/8)^clauses."""


@dataclass(frozen=True)
class SatProblems(SearchProblems):
    """Problems of 3-SAT.

    Args:
        ratio: Number of clauses for each variable; at 4.26 large problems turn from solvable to not.
        sizes: Number of variables of a problem.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    name: ClassVar[str] = NAME
    sources: ClassVar[tuple[str, ...]] = SOURCES
    search: ClassVar[SatSearch] = SatSearch()

    ratio: float = option(4.26, "Clauses for each variable.")
    sizes: Sizes = parts(
        Sizes(5, 10, 12),
        smallest="Fewest variables of a problem.",
        largest="Most variables in training.",
        longest="Most variables in test_long.",
    )
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if self.sizes.smallest < 3 or self.sizes.longest > MOST_VARIABLES:
            raise SettingsError(
                f"Problems of {self.sizes.smallest} to {self.sizes.longest} variables.",
                f"Give 3 to {MOST_VARIABLES}.",
            )
        if not 0 < self.ratio <= MOST_CLAUSES:
            raise SettingsError(
                f"The ratio of clauses is {self.ratio}.",
                f"Give a number above 0 and of at most {MOST_CLAUSES}, beyond which nothing can be solved; "
                "4.26 is the hard one.",
            )
        check_seed(self.seed)

    def draw(self, size: int, rng: np.random.Generator) -> Problem:
        """Return a random problem with ``size`` variables that can be solved.

        Raises:
            SettingsError: No problem that was drawn can be solved.
        """
        for _ in range(DRAWS):
            clauses = tuple(self._clause(size, rng) for _ in range(max(1, round(self.ratio * size))))
            found = sorted(solutions_of(clauses, size))
            if found:
                answer = found[int(rng.integers(len(found)))]
                truth = {"clauses": list(clauses), "variables": size}
                return Problem(f"{' '.join(clauses)}\n", truth, tuple(f"{literal}\n" for literal in answer))
        raise SettingsError(
            f"Of {DRAWS} problems of {size} variables at {self.ratio} clauses for each none can be solved.",
            "Give a smaller ratio: 4.26 is the hard one.",
        )

    def _clause(self, size: int, rng: np.random.Generator) -> str:
        names = sorted(ascii_lowercase[variable] for variable in rng.permutation(size)[:3])
        return "".join(
            name if positive else name.upper()
            for name, positive in zip(names, rng.integers(2, size=3), strict=True)
        )
