"""Judge arithmetic on graphs of definitions; :mod:`halluc_plugin.tasks.dag.problems` describes its form.

An answer works out one variable on each line, each after those it needs, up to the one that is asked for. Any
such order is right, and numbers that are not needed may be looked up, too.
"""

import re
from collections.abc import Mapping
from typing import Any

from halluc_plugin.tasks.dag.graph import Graph
from halluc_plugin.tasks.dag.problems import SOURCES
from halluc_plugin.verifiers.base import Outcome
from halluc_plugin.verifiers.numerals import NUMERAL

_LINE = re.compile(rf"[a-z]=({NUMERAL}[-+*]{NUMERAL}=)?{NUMERAL}")
_RESULT = re.compile(rf"=({NUMERAL})")


class DagVerifier:
    """The exact verifier; ``problem`` holds ``definitions``, ``query`` and ``modulus``."""

    data_sources: tuple[str, ...] = SOURCES

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer with its steps; blanks and newlines at its end are ignored."""
        lines = self.canonical(answer).split("\n")
        if not all(_LINE.fullmatch(line) for line in lines):
            return Outcome.NO_ANSWER
        graph = Graph(problem)
        done = _play(graph, lines)
        return Outcome.CORRECT if done and done[-1] == graph.query else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """Return an answer without blanks and newlines at its end."""
        return answer.rstrip()

    def verify_final(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge only the final result of an answer."""
        final = self.final_answer(answer)
        if final is None:
            return Outcome.NO_ANSWER
        graph = Graph(problem)
        return Outcome.CORRECT if final == str(graph.values[graph.query]) else Outcome.WRONG

    def final_answer(self, answer: str) -> str | None:
        """Return the last number after an equals sign, as it is written."""
        numbers = _RESULT.findall(answer)
        return numbers[-1] if numbers else None

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Return whether some right answer begins with ``prefix``."""
        if self.verify(problem, prefix) is Outcome.CORRECT:
            return True
        graph = Graph(problem)
        *lines, last = prefix.split("\n")
        done = _play(graph, lines)
        if done is None or graph.query in done:
            return False
        candidates = (name for name in graph.values if name not in done and graph.is_ready(name, done))
        return any(graph.line(name).startswith(last) for name in candidates)


def _play(graph: Graph, lines: list[str]) -> list[str] | None:
    """The variables that are worked out, in order; None if a line is wrong or comes after the answer."""
    done: list[str] = []
    for line in lines:
        name = line[:1]
        known = name in graph.values and name not in done and graph.query not in done
        if not known or not graph.is_ready(name, done) or f"{line}\n" != graph.line(name):
            return None
        done.append(name)
    return done
