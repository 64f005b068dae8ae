"""Held-out problems in the ids of a tokenizer, with their verifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from halluc_plugin.problem_sets.steps import Problem
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.tasks import require_verifier
from halluc_plugin.verifiers import Outcome


@dataclass(frozen=True)
class Asked:
    """Problems of one task.

    Attributes:
        problems: The problems.
        source: Their data source.
        tokenizer: The tokenizer of the prompts.
        max_tokens: Largest number of tokens of an answer, rejected lines included.
        seed: Seed of the answers.
    """

    problems: Sequence[Problem]
    source: str
    tokenizer: Any
    max_tokens: int
    seed: int

    @cached_property
    def posed(self) -> list[PosedProblem]:
        """The problems with their prompts as ids, and their verifier."""
        verifier = require_verifier(self.source)
        return [
            PosedProblem(
                tuple(self.tokenizer.encode(problem.prompt, add_special_tokens=False)),
                problem.truth, verifier, self.source,
            )
            for problem in self.problems
        ]  # fmt: skip

    def first(self, count: int) -> "Asked":
        """Return the first problems."""
        return replace(self, problems=self.problems[:count])

    @staticmethod
    def right(problem: PosedProblem, text: str) -> bool:
        """Return whether an answer is right."""
        return problem.verifier.verify(problem.truth, text) is Outcome.CORRECT
