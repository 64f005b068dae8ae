"""Value steps by sampling: the share of right answers among a policy's continuations of each prefix.

This is the Monte-Carlo return-to-go of OpenReview hJ2BCYGvFg, section 2, with a reward only at the end and
without discount. It is the rate at which the policy succeeds, not whether success can be reached.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import torch

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.driver import Cost, Sampler, run
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Request, Response, Sample, Search, Space
from halluc_plugin.scorers.rollouts import Prefix, Rollouts, judge_of, step_prefixes
from halluc_plugin.scorers.steps import Spent, Steps, StepScores


class Probing(StrEnum):
    """The prefixes that are continued."""

    EACH = "each"
    """Every prefix is continued."""
    BINARY = "binary"
    """The prefixes that a binary search for the first error looks at are continued."""


class MonteCarloScorer:
    """Values steps by continuations that a policy samples; a prefix is sampled from, and counted, once.

    With :attr:`Probing.BINARY`, the bare prompt is continued, and those prefixes of a wrong response that a
    binary search for its first error looks at. A prefix between two of them has the value of the earlier one,
    and all from the first error on have 0. A right response has no error to be searched for.

    Args:
        sampler: The policy that is sampled.
        space: The space in which continuations are sampled. A continuation that does not end within
            ``max_tokens`` of the response, or ends by an edit, counts as wrong.
        problems: The problems that will be asked about, identified by their prompts.
        tokenizer: The tokenizer of their ids.
        continuations: Number n of continuations of each prefix.
        probing: The prefixes that are continued.
        shape: Sizes of the policy, for costs; None leaves FLOPs at 0.

    Raises:
        SettingsError: There is less than one continuation, or all would be the same.
        DataError: Two problems have one prompt and different ground truths.
    """

    def __init__(
        self,
        sampler: Sampler,
        space: Space,
        problems: Sequence[PosedProblem],
        tokenizer: Any,
        *,
        continuations: int = 8,
        probing: Probing = Probing.EACH,
        shape: DecoderShape | None = None,
    ) -> None:
        check_continuations(continuations, space)
        self._sampler, self._space, self._n = sampler, space, continuations
        self._probing, self._shape = probing, shape
        self._rollouts: dict[Prefix, Rollouts] = {}
        self._computed: dict[Prefix, set[Prefix]] = {}
        truths: dict[Prefix, Any] = {}
        for problem in problems:
            if truths.setdefault(problem.prompt, problem.truth) != problem.truth:
                raise DataError(
                    f"Two problems have one prompt and other truths: {tokenizer.decode(problem.prompt)!r}.",
                    "Leave one of them out.",
                )
            rollouts = Rollouts(problem.prompt, space, judge_of(problem, tokenizer))
            self._rollouts.setdefault(problem.prompt, rollouts)

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return only the values, Float[B, S+1]."""
        return self.rate(prompts, steps).values

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of each response's prefixes, and their cost.

        The tokens of a cost are those of the continuations. The FLOPs are those of continuations and
        prefixes, each computed once, as in an engine with a prefix cache. Responses that share a prefix share
        its continuations, which are counted for the first of them.

        Args:
            prompts: Token ids of B prompts.
            steps: Token ids of the steps of a response to each prompt; the last step of a whole response ends
                with EOS.

        Raises:
            DataError: The numbers of prompts and responses differ, a step is empty, or a prompt belongs to no
                problem.
            SettingsError: A response leaves no room for a continuation.
        """
        rows = self._rows(prompts, steps)
        together: dict[Prefix, list[list[Prefix]]] = {}
        for prompt, prefixes in rows:
            together.setdefault(prompt, []).append(prefixes)
        searches = [self._search(self._rollouts[prompt], of) for prompt, of in together.items()]
        found = run(searches, list(together), self._sampler)
        sampled = {
            prompt: _by_prefix(result.samples, len(prompt))
            for prompt, result in zip(together, found, strict=True)
        }
        values = torch.full((len(rows), max((len(row) for _, row in rows), default=1)), torch.nan)
        spent = []
        for number, (prompt, prefixes) in enumerate(rows):
            values[number, : len(prefixes)] = torch.tensor(self._values(self._rollouts[prompt], prefixes))
            spent.append(self._spent(prompt, prefixes, sampled[prompt]))
        return StepScores(values, spent)

    def _rows(
        self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]
    ) -> list[tuple[Prefix, list[Prefix]]]:
        """Each prompt with the prefixes of its response; nothing is sampled before all are looked at."""
        if len(prompts) != len(steps):
            raise DataError(f"{len(prompts)} prompts for {len(steps)} responses.", "Give a prompt for each.")
        rows = []
        for number, (prompt, of_response) in enumerate(zip(prompts, steps, strict=True)):
            if tuple(prompt) not in self._rollouts:
                raise DataError(
                    f"The prompt of response {number} is none of the scorer's problems.",
                    "Give the scorer every problem that is scored.",
                )
            if not all(len(step) for step in of_response):
                empty = [len(step) > 0 for step in of_response].index(False) + 1
                raise DataError(f"Step {empty} of response {number} is empty.", "Leave the response out.")
            prefixes = step_prefixes(of_response)
            self._rollouts[tuple(prompt)].check_room(prefixes)
            rows.append((tuple(prompt), prefixes))
        return rows

    def _search(self, rollouts: Rollouts, responses: Sequence[Sequence[Prefix]]) -> Search:
        """All responses to one problem."""
        if self._probing is Probing.EACH:
            yield from rollouts.completed((prefix for of in responses for prefix in of), self._n)
        else:
            yield from rollouts.completed((of[at] for of in responses for at in (0, -1)), self._n)
            for prefixes in responses:
                if not rollouts.value(prefixes[-1]):
                    yield from rollouts.first_error(prefixes, self._n)
        return [Response(rollout.ids) for rollout in rollouts.found]

    def _values(self, rollouts: Rollouts, prefixes: Sequence[Prefix]) -> list[float]:
        values: list[float] = []
        for prefix in prefixes:
            value = rollouts.value(prefix)
            values.append(values[-1] if value is None else value)
        return values

    def _spent(self, prompt: Prefix, prefixes: Sequence[Prefix], sampled: dict[Prefix, list[int]]) -> Spent:
        """What a response's new prefixes took; they are taken out of ``sampled``."""
        new = {prefix: sampled.pop(prefix) for prefix in prefixes if prefix in sampled}
        tokens = sum(map(sum, new.values()))
        if self._shape is None or not new:
            return Spent(policy_tokens=tokens)
        computed = self._computed.setdefault(prompt, set())
        have = max((len(prompt) + len(prefix) for prefix in prefixes if prefix in computed), default=0)
        reached = len(max(new, key=len))
        cost = Cost()
        cost.add(have, max(0, len(prompt) + reached - have))
        for prefix, lengths in new.items():
            for length in lengths:
                cost.add(len(prompt) + len(prefix), length)
        computed.update(prefix for prefix in prefixes if len(prefix) <= reached)
        return Spent(policy_tokens=tokens, flops=cost.flops(self._shape))


def _by_prefix(samples: Sequence[tuple[Request, Sample]], prompt: int) -> dict[Prefix, list[int]]:
    """Lengths of the continuations of each prefix of a response."""
    found: dict[Prefix, list[int]] = {}
    for request, sample in samples:
        found.setdefault(request.prefix[prompt:], []).append(len(sample.ids))
    return found


def check_continuations(n: int, space: Space) -> None:
    """Refuse continuations that carry no information.

    Raises:
        SettingsError: There is less than one continuation, or all would be the same.
    """
    if n < 1:
        raise SettingsError(f"{n} continuations.", "Give at least 1.")
    if space.temperature == 0:
        raise SettingsError(
            "At temperature 0 all continuations would be the same.", "Give a temperature above 0."
        )
