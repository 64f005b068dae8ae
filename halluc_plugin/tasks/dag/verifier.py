"""Arithmetic on a graph of definitions; :mod:`halluc_plugin.tasks.dag.problems` says how it is written.

An answer works out one variable a line, each after what it needs, up to the one that is asked for. In which
order, and whether numbers are looked up that are not needed, is free.
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
    """The exact judge; ``problem`` holds ``definitions``, ``query`` and ``modulus``."""

    data_sources: tuple[str, ...] = SOURCES

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge an answer, steps and all; blanks and newlines at its end do not count."""
        lines = self.canonical(answer).split("\n")
        if not all(_LINE.fullmatch(line) for line in lines):
            return Outcome.NO_ANSWER
        graph = Graph(problem)
        done = _play(graph, lines)
        return Outcome.CORRECT if done and done[-1] == graph.query else Outcome.WRONG

    def canonical(self, answer: str) -> str:
        """An answer without blanks and newlines at its end."""
        return answer.rstrip()

    def verify_final(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        """Judge only what an answer comes to."""
        final = self.final_answer(answer)
        if final is None:
            return Outcome.NO_ANSWER
        graph = Graph(problem)
        return Outcome.CORRECT if final == str(graph.values[graph.query]) else Outcome.WRONG

    def final_answer(self, answer: str) -> str | None:
        """The last number after an equals sign, as it is written."""
        numbers = _RESULT.findall(answer)
        return numbers[-1] if numbers else None

    def prefix_ok(self, problem: Mapping[str, Any], prefix: str) -> bool:
        """Whether some right answer begins with ``prefix``."""
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
