"""Make pairs of what a model's copies come to in a debate: answers of the majority against the others.

They are the pairs of MACA (A. Samanta et al., "Internalizing Self-Consistency in Language Models", arXiv
2509.15172), for a preference loss. No verifier judges: the majority may be wrong.

Deviations from MACA, whose details are from memory of the paper:

1. Both sides are learned behind the problem's bare prompt, also answers that were written after others.
2. Answers of all rounds are paired; the vote is over the last ones.
3. Without a result that more copies share than any other, and at least two, there is no pair.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.data.pair_files import PairRow, fault
from halluc_plugin.data.resumable import Row
from halluc_plugin.sampling.driver import Found, Sampler, run
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Space
from halluc_plugin.search.answers import canonical
from halluc_plugin.search.debating import debating, resolved
from halluc_plugin.search.selection import Canonical


@dataclass(frozen=True)
class ConsensusPairs:
    """Makes the pairs of a part from debates.

    Attributes:
        sampler: The model whose copies debate.
        space: The space in which it is sampled.
        tokenizer: The model's tokenizer.
        copies: Number of copies.
        rounds: Number of rounds in which answers are read.
        request: Token ids that ask for another answer.
        most: Largest number of pairs of a problem; each answer of the minority is in one at most.
        seed: Seed of the samples, if the sampler can be seeded.
    """

    sampler: Sampler
    space: Space
    tokenizer: Any
    copies: int
    rounds: int
    request: tuple[int, ...]
    most: int
    seed: int

    def __call__(self, number: int, problems: Sequence[PosedProblem]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        seed_part(self.sampler, self.seed, number)
        prompts = [problem.prompt for problem in problems]
        searches = [debating(p, self.space, self.copies, self.rounds, self.request) for p in prompts]
        found = run(searches, prompts, self.sampler)
        rows, tally = list[Row](), Counter(dict.fromkeys(("agreed", "pairs", "tokens"), 0))
        for problem, result in zip(problems, found, strict=True):
            vote = canonical(problem, self.tokenizer)
            agreed = consensus([vote(response) for response in result.responses])
            tally.update(agreed=int(agreed is not None), tokens=result.cost.tokens)
            pairs = [] if agreed is None else self._paired(problem.prompt, result, vote, agreed)
            rows += [pair.columns() for pair in pairs]
            tally.update(pairs=len(pairs))
        return rows, tally

    def _paired(
        self, prompt: tuple[int, ...], result: Found, vote: Canonical, agreed: Hashable
    ) -> list[PairRow]:
        """Each distinct answer of the minority with one of the majority, in turn, in the order sampled."""
        sides: dict[bool, list[tuple[int, ...]]] = {True: [], False: []}
        left = ((sample.ids, resolved(sample, self.space)) for _, sample in result.samples)
        for ids, answer in {ids: answer for ids, answer in left if answer is not None}.items():
            sides[vote(answer) == agreed].append(ids)
        chosen = sides[True]
        pairs = [
            PairRow(list(prompt), list(chosen[at % len(chosen)]), list(rejected))
            for at, rejected in enumerate(sides[False])
        ]
        return [pair for pair in pairs if fault(pair) is None][: self.most]


def consensus(votes: Sequence[Hashable | None]) -> Hashable | None:
    """Return the result that more copies share than any other, and at least two; None if there is none.

    Args:
        votes: The result of each copy, None where it abstains.
    """
    counts = Counter(vote for vote in votes if vote is not None).most_common(2)
    if not counts or counts[0][1] < 2 or (len(counts) == 2 and counts[0][1] == counts[1][1]):
        return None
    return counts[0][0]
