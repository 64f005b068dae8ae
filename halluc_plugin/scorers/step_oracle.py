"""Value steps exactly: whether a right answer can still be reached, by the problem's own verifier."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import torch

from halluc_plugin.errors import DataError
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scorers.prefixes import Prefixes, PrefixScorer
from halluc_plugin.scorers.steps import Steps, StepScores
from halluc_plugin.verifiers import PrefixVerifier, prefix_oracle


class StepOracle:
    """The process oracle: 1 for a prefix from which a right answer can be reached, 0 for any other.

    The value is reachability, not the rate at which a policy reaches a right answer, which Monte-Carlo values
    estimate. Its cost is counted as 0.

    Args:
        problems: The problems that will be asked about, identified by their prompts.
        tokenizer: The tokenizer of their ids.
        end_ids: Ids that end a response.

    Raises:
        DataError: A problem's verifier does not judge prefixes, or two problems with one prompt have
            different ground truths.
    """

    def __init__(self, problems: Sequence[PosedProblem], tokenizer: Any, end_ids: Collection[int]) -> None:
        self._problems: dict[tuple[int, ...], PosedProblem] = {}
        for problem in problems:
            if not isinstance(problem.verifier, PrefixVerifier):
                raise DataError(
                    f"The verifier {type(problem.verifier).__name__} judges no prefixes.",
                    "Use a task whose verifier has `prefix_ok`, or another scorer of steps.",
                )
            known = self._problems.setdefault(problem.prompt, problem)
            if known.truth != problem.truth:
                raise DataError(
                    f"Two problems have one prompt and other truths: {tokenizer.decode(problem.prompt)!r}.",
                    "Leave one of them out.",
                )
        self._scorer = PrefixScorer(_Reached(self._problems, tokenizer, end_ids), None)

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of each response's prefixes; see :class:`halluc_plugin.scorers.steps.StepScorer`.

        Raises:
            DataError: A prompt belongs to no problem, or :func:`halluc_plugin.scorers.prefixes.prefixes_of`
                refuses the responses.
        """
        unknown = [prompt for prompt in prompts if tuple(prompt) not in self._problems]
        if unknown:
            raise DataError(
                f"{len(unknown)} of {len(prompts)} prompts are none of the oracle's problems.",
                "Give the oracle every problem that is scored.",
            )
        return self._scorer.rate(prompts, steps)

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return only the values, Float[B, S+1]."""
        return self.rate(prompts, steps).values


class _Reached:
    """Reads values from the verifiers of problems."""

    def __init__(
        self, problems: dict[tuple[int, ...], PosedProblem], tokenizer: Any, end_ids: Collection[int]
    ) -> None:
        self._problems, self._end_ids = problems, end_ids
        self._decode = partial(tokenizer.decode, skip_special_tokens=True)

    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """Return the value of each prefix, as :meth:`halluc_plugin.scorers.prefixes.Reader.values`."""
        return [self._of(row) for row in rows]

    def _of(self, row: Prefixes) -> list[float]:
        prompt = row.ends[0]
        problem = self._problems[row.ids[:prompt]]
        assert isinstance(problem.verifier, PrefixVerifier)  # as the scorer has checked
        ok = prefix_oracle(problem.verifier, problem.truth, self._decode, self._end_ids)
        return [float(ok(row.ids[prompt:end])) for end in row.ends]
