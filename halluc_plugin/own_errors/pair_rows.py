"""Make pairs of what a model samples: right against wrong answers, and steps after one prefix.

Steps after one prefix, of which one can still be right, are the siblings of G. Chen et al., "Step-level Value
Preference Optimization for Mathematical Reasoning" (SVPO, arXiv 2406.10858, section 3).

Deviations from SVPO: siblings are grown along one path, always on from the best step, where the paper grows a
tree by Monte-Carlo search; their values are those of a scorer of steps or of the oracle, and the pairs are
learned by any preference loss, without the paper's value head.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from halluc_plugin.data.pair_files import PairRow, fault
from halluc_plugin.data.resumable import Row
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.driver import Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.rating import Rater
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import End, GuidedSearch, Response, Space, wanted
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.search.guided import draw, rate
from halluc_plugin.traces.myers import unmatched_blocks


class Negatives(StrEnum):
    """Which wrong answers are paired with right ones."""

    CLOSEST = "closest"
    """Those that differ from a right answer in the fewest tokens: minimally wrong."""
    LIKELIEST = "likeliest"
    """Those that the model likes best, by mean log-prob: hard negatives."""


@dataclass(frozen=True)
class AnswerPairs:
    """Makes the pairs of a part from a model's own answers: right ones against wrong ones.

    Attributes:
        sampler: The model that answers.
        space: The space in which it is sampled.
        tokenizer: The model's tokenizer.
        samples: Number of answers to each problem.
        negatives: Which wrong answers are taken.
        most: Largest number of pairs of a problem; each wrong answer is in one at most.
        seed: Seed of the samples, if the sampler can be seeded.

    Raises:
        SettingsError: There are fewer than two answers.
    """

    sampler: Sampler
    space: Space
    tokenizer: Any
    samples: int
    negatives: Negatives
    most: int
    seed: int

    def __post_init__(self) -> None:
        require_several(self.samples, "answers to a problem")

    def __call__(self, number: int, problems: Sequence[PosedProblem]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        seed_part(self.sampler, self.seed, number)
        prompts = [problem.prompt for problem in problems]
        found = run([independent(p, self.space, self.samples) for p in prompts], prompts, self.sampler)
        rows, tally = list[Row](), Counter(dict.fromkeys(("answers", "right", "pairs"), 0))
        for problem, result in zip(problems, found, strict=True):
            judge = judge_of(problem, self.tokenizer)
            distinct = list({response.ids: response for response in result.responses}.values())
            liked = sorted(distinct, key=lambda response: -response.mean_logprob)
            right = [response.ids for response in liked if judge(response.ids)]
            wrong = [response.ids for response in liked if not judge(response.ids)]
            pairs = self._paired(right, wrong)
            rows += [PairRow(list(problem.prompt), list(w), list(r)).columns() for w, r in pairs]
            tally.update(answers=len(distinct), right=len(right), pairs=len(pairs))
        return rows, tally

    def _paired(
        self, right: Sequence[tuple[int, ...]], wrong: Sequence[tuple[int, ...]]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Pairs of a right and a wrong answer, both lists with the likeliest first."""
        if not right or not wrong:
            return []
        # Of the right answers always the one that the wrong one is closest to, so that they differ little.
        closest = [min(((distance(r, w), r) for r in right), key=lambda found: found[0]) for w in wrong]
        order = list(range(len(wrong)))
        if self.negatives is Negatives.CLOSEST:
            order = sorted(order, key=lambda at: closest[at][0])
        return [(closest[at][1], wrong[at]) for at in order[: self.most]]


@dataclass(frozen=True)
class SiblingPairs:
    """Makes the pairs of a part from steps that a model writes after one prefix.

    Attributes:
        sampler: The model that writes.
        space: The space in which it is sampled.
        rater: Values steps: the step oracle, or a scorer of steps.
        samples: Number of steps that are drawn after each prefix.
        gap: Least difference of the values of the two steps of a pair, in (0, 1].
        most: Largest number of pairs of a problem.
        seed: Seed of the samples, if the sampler can be seeded.

    Raises:
        SettingsError: Fewer than two steps are drawn, or the gap is out of range.
    """

    sampler: Sampler
    space: Space
    rater: Rater
    samples: int
    gap: float
    most: int
    seed: int

    def __post_init__(self) -> None:
        require_several(self.samples, "steps after a prefix")
        if not 0 < self.gap <= 1:
            raise SettingsError(
                f"The least difference of values is {self.gap}.", "Give a number above 0 and of at most 1."
            )

    def __call__(self, number: int, problems: Sequence[PosedProblem]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        seed_part(self.sampler, self.seed, number)
        prompts = [problem.prompt for problem in problems]
        pairs: list[list[PairRow]] = [[] for _ in problems]
        searches = [self._grow(p, into) for p, into in zip(prompts, pairs, strict=True)]
        found = run(searches, prompts, self.sampler, rater=self.rater)
        rows = [pair.columns() for of in pairs for pair in of]
        tokens = sum(result.cost.tokens for result in found)
        return rows, Counter(
            {"pairs": len(rows), "problems_with_pairs": sum(map(bool, pairs)), "tokens": tokens}
        )

    def _grow(self, prompt: tuple[int, ...], into: list[PairRow]) -> GuidedSearch:
        """Walk from the best step to the next, and keep the best and the worst step of each place."""
        state = Response()
        # A search gives no value to a step that fills its room, behind which no answer can end. Here a step
        # is whole if it has its delimiter.
        roomy = replace(self.space, max_tokens=self.space.max_tokens + 1)
        while len(state.ids) < self.space.max_tokens and len(into) < self.most:
            samples = yield from draw([wanted(prompt, state, self.space, steps=True)] * self.samples)
            whole = [state.extended(s) for s in samples if s.end in {End.STEP, End.EOS}]
            steps = list({response.ids: response for response in whole}.values())
            if not steps:
                break
            rated = yield from rate(prompt, steps, roomy)
            best, worst = (pick(rated, key=lambda each: each.final) for pick in (max, min))
            if best.final - worst.final >= self.gap:
                pair = PairRow(list(prompt), list(best.response.ids), list(worst.response.ids))
                if fault(pair) is None:
                    into.append(pair)
            if best.finished or not best.final:
                break
            state = best.response
        return []


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the least number of tokens to delete and insert that makes one sequence the other."""
    blocks = unmatched_blocks(one, other)
    return sum(b.sample_end - b.sample_start + b.reference_end - b.reference_start for b in blocks)


def require_several(samples: int, what: str) -> None:
    """Refuse to look for differences where there is one sample.

    Raises:
        SettingsError: There are fewer than two.
    """
    if samples < 2:
        raise SettingsError(f"{samples} {what}: there is nothing to compare.", "Give --samples 2 or more.")
