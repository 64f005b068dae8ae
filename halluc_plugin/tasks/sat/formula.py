"""Search 3-SAT: variables are given values one after the other, in the order of the alphabet.

    aBc aBD bCd ...        clauses of three literals; a capital letter is the negation
    a                      the literal that is true of each variable, one a line
    B
    ...

A clause whose three variables have values that all make it false is a contradiction.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from string import ascii_lowercase
from typing import Any

from halluc_plugin.errors import DataError
from halluc_plugin.problem_sets.search import SearchStep

MOST_VARIABLES = 14
"""Largest number of variables, as all assignments are tried once for each problem."""


@dataclass(frozen=True)
class Assignment:
    """The state of an answer.

    Attributes:
        clauses: The clauses of the problem, three literals each.
        variables: Number of variables.
        solutions: All right answers, each a text of literals.
        given: The literals that are true so far.
    """

    clauses: tuple[str, ...]
    variables: int
    solutions: frozenset[str]
    given: str = ""


class SatSearch:
    """The search task; ``problem`` holds ``clauses`` and ``variables``."""

    def begin(self, problem: Mapping[str, Any]) -> Assignment:
        """Return the state in which no variable has a value."""
        clauses, variables = tuple(map(str, problem["clauses"])), int(problem["variables"])
        return Assignment(clauses, variables, _solutions_of(clauses, variables))

    def steps(self, state: Assignment) -> list[SearchStep[Assignment]]:
        """Return the two values of the next variable."""
        if len(state.given) == state.variables:
            return []
        name = ascii_lowercase[len(state.given)]
        return [SearchStep(f"{literal}\n", _with(state, literal)) for literal in (name, name.upper())]

    def dead(self, state: Assignment) -> bool:
        """Return whether no right answer begins with this assignment."""
        return not any(solution.startswith(state.given) for solution in state.solutions)

    def contradiction(self, state: Assignment) -> bool:
        """Return whether a clause is false."""
        false = set(state.given.swapcase())
        return any(false.issuperset(clause) for clause in state.clauses)

    def well_formed(self, problem: Mapping[str, Any], line: str) -> bool:  # noqa: ARG002 - the interface's
        """Return whether a line is a literal."""
        return bool(re.fullmatch(r"[a-zA-Z]", line))


def _with(state: Assignment, literal: str) -> Assignment:
    return Assignment(state.clauses, state.variables, state.solutions, state.given + literal)


def solutions_of(clauses: tuple[str, ...], variables: int) -> frozenset[str]:
    """Return all assignments that make every clause true, each a text of literals."""
    names = ascii_lowercase[:variables]
    found = ("".join(literals) for literals in product(*((name, name.upper()) for name in names)))
    return frozenset(
        literals for literals in found if all(set(clause).intersection(literals) for clause in clauses)
    )


@lru_cache(maxsize=4096)
def _solutions_of(clauses: tuple[str, ...], variables: int) -> frozenset[str]:
    names = ascii_lowercase[: max(0, variables)]
    sound = all(len(set(clause.lower())) == 3 and set(clause.lower()) <= set(names) for clause in clauses)
    if not 3 <= variables <= MOST_VARIABLES or not clauses or not sound:
        raise DataError(
            f"Clauses {' '.join(clauses)} on {variables} variables are no 3-SAT problem.",
            f"Give clauses of three of 3 to {MOST_VARIABLES} variables.",
        )
    found = solutions_of(clauses, variables)
    if not found:
        raise DataError(
            f"Clauses {' '.join(clauses)} cannot all be true.", "Draw another problem: `halluc data sat`."
        )
    return found
