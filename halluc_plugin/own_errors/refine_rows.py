"""Make the pairs of ReVISE (arXiv 2502.14565) of a model's own attempts.

:mod:`halluc_plugin.traces.refinements` says which.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.data.pair_files import PairRow
from halluc_plugin.data.resumable import Row
from halluc_plugin.sampling.driver import Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import End, Sample, Space
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.traces.refinements import Stage, refinement_pair


@dataclass(frozen=True)
class RefinementPairs:
    """Makes the pairs of a part from finished attempts, those that the model would refine included.

    A wrong attempt is corrected by a right one of the same model to the same problem, the likeliest. The
    paper's released code takes the data's solution; here a problem without a right attempt teaches no
    correction.

    Attributes:
        sampler: The model that answers.
        space: The space in which it is sampled; a restart ends an attempt, as EOS does.
        tokenizer: The model's tokenizer.
        stage: What wrong attempts teach.
        samples: Number of attempts at each problem.
        most: Largest number of pairs of a problem; right and wrong attempts take turns, the likeliest first.
        seed: Seed of the samples, if the sampler can be seeded.
    """

    sampler: Sampler
    space: Space
    tokenizer: Any
    stage: Stage
    samples: int
    most: int
    seed: int

    def __call__(self, number: int, problems: Sequence[PosedProblem]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        seed_part(self.sampler, self.seed, number)
        prompts = [problem.prompt for problem in problems]
        found = run([independent(p, self.space, self.samples) for p in prompts], prompts, self.sampler)
        rows, tally = list[Row](), Counter(dict.fromkeys(("attempts", "right", "pairs", "tokens"), 0))
        for problem, result in zip(problems, found, strict=True):
            attempts = self._attempts([sample for _, sample in result.samples])
            judge = judge_of(problem, self.tokenizer)
            right = [ids for ids in attempts if judge(ids)]
            wrong = [ids for ids in attempts if not judge(ids)]
            pairs = self._paired(problem, right, wrong)
            rows += [pair.columns() for pair in pairs]
            tally.update(
                attempts=len(attempts), right=len(right), pairs=len(pairs), tokens=result.cost.tokens
            )
        return rows, tally

    def _attempts(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        """Finished attempts, each once and with an EOS, the likeliest first."""
        eos, restart = int(self.tokenizer.eos_token_id), self.space.vocab.restart
        liked: dict[tuple[int, ...], float] = {}
        for sample in samples:
            ends = sample.end is End.EOS or (sample.end is End.EDIT and sample.ids[-1] == restart)
            if ends and len(sample.ids) > 1:
                written = sample.logprobs[:-1]  # how it ends is what is to be learned
                liked[*sample.ids[:-1], eos] = sum(written) / len(written)
        return sorted(liked, key=lambda ids: -liked[ids])

    def _paired(
        self,
        problem: PosedProblem,
        right: Sequence[tuple[int, ...]],
        wrong: Sequence[tuple[int, ...]],
    ) -> list[PairRow]:
        correcting = self.stage is Stage.CORRECT
        answer = right[0] if right and correcting else None
        teaching = wrong if answer is not None or not correcting else ()
        ordered = sorted(
            [(place, True, ids) for place, ids in enumerate(right)]
            + [(place, False, ids) for place, ids in enumerate(teaching)],
            key=lambda each: each[:2],
        )
        pairs = (
            refinement_pair(
                ids, self.space.vocab, right=stands, eos=int(self.tokenizer.eos_token_id),
                eos_ids=self.space.eos_ids, answer=answer,
            )
            for _, stands, ids in ordered[: self.most]
        )  # fmt: skip
        return [PairRow(list(problem.prompt), list(c.ids), list(r.ids)) for c, r in pairs]
