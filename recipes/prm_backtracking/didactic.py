"""Run the paper's didactic task (section 3.1) by the search itself: tokens until the answer is right.

An answer counts in L digits, t mod 10; each digit is a step. At t = 6 mod 10 the policy writes the right
digit with chance p, else a 1. The oracle gives 1 to a prefix without a wrong digit, and 0 to any other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.table import Table

from halluc_plugin.edits import EditVocab
from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.sampling.states import End, Request, Sample, Space
from halluc_plugin.scorers.steps import Spent, Steps, StepScores
from halluc_plugin.search import run
from halluc_plugin.search.revision import Arm, Better, Revising, revise
from halluc_plugin.theory.mod10 import Mod10, Retry

PROMPT, EOS, BACK = (11,), 12, 10
REVISIONS = 1_000_000
"""Until it is solved."""
ARMS = {
    "min-advantage, progress": Revising(
        n=1, revisions=REVISIONS, p_des=1.0, arm=Arm.MIN_ADVANTAGE, better=Better.PROGRESS
    ),
    "min-advantage, final": Revising(n=1, revisions=REVISIONS, p_des=1.0, arm=Arm.MIN_ADVANTAGE),
    "first": Revising(n=1, revisions=REVISIONS, p_des=1.0, arm=Arm.FIRST),
}
"""The paper's search keeping an answer with one mistake less, and keeping whole right answers alone; and from
the first step, which is best-of-N until one is right."""


@dataclass(frozen=True)
class Counting:
    """The task of counting in digits.

    Attributes:
        hard: Number of hard digits, K; the answer has 10 K digits.
        p: Probability that a hard digit is right.
    """

    hard: int
    p: float

    @property
    def positions(self) -> range:
        """The positions of the hard digits."""
        return range(6, 10 * self.hard, 10)

    @property
    def answer(self) -> tuple[int, ...]:
        """The right answer, without EOS."""
        return tuple(t % 10 for t in range(10 * self.hard))

    @property
    def space(self) -> Space:
        """The space of the search, in which each digit ends a step."""
        return Space(EditVocab(backtrack=BACK), frozenset({EOS}), frozenset(range(10)), 10 * self.hard + 1)

    @property
    def law(self) -> Mod10:
        """The closed forms of the task; EOS, with which every suffix ends, is one more digit."""
        return Mod10(10 * self.hard + 1, self.hard, self.p)


class Policy:
    """A policy that writes whole suffixes.

    Args:
        task: The task.
        seed: Seed of its mistakes.
    """

    def __init__(self, task: Counting, seed: int) -> None:
        self._task, self._rng = task, np.random.default_rng(seed)

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Return the rest of an answer for each request."""
        return [self._rest(len(request.prefix) - len(PROMPT)) for request in requests]

    def _rest(self, start: int) -> Sample:
        digits = list(self._task.answer[start:])
        for position in self._task.positions:
            if position >= start and self._rng.random() >= self._task.p:
                digits[position - start] = 1
        return Sample((*digits, EOS), (0.0,) * (len(digits) + 1), End.EOS)


class Oracle:
    """A scorer that gives 1 to a prefix without a wrong digit.

    Args:
        task: The task.
    """

    def __init__(self, task: Counting) -> None:
        self._answer = task.answer

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of whole answers, at no cost."""
        rows = []
        for response in steps:
            right = [step[0] == digit for step, digit in zip(response, self._answer, strict=True)]
            rows.append([1.0, *np.cumprod(right).tolist()])
        return StepScores(torch.tensor(rows), [Spent()] * len(prompts))

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return only the values, Float[B, S+1]."""
        return self.rate(prompts, steps).values


def tokens_until_right(task: Counting, plan: Revising, runs: int, seed: int) -> list[int]:
    """Return the number of tokens of each of ``runs`` searches, which end when the answer is right."""
    searches = [revise(PROMPT, task.space, plan) for _ in range(runs)]
    found = run(searches, [PROMPT] * runs, Policy(task, seed), rater=Oracle(task))
    assert all(one.responses[0].ids[:-1] == task.answer for one in found)
    return [one.cost.tokens for one in found]


def run_stage(hard: Sequence[int], p: float, runs: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the cells of a seed: the mean tokens of each arm for each number of hard digits."""
    for count in hard:
        task = Counting(count, p)
        for name, plan in ARMS.items():
            tokens = tokens_until_right(task, plan, runs, seed)
            yield {"name": f"{name}, K = {count}", "arm": name, "hard": count, "tokens": sum(tokens) / runs}


def law(arm: str, task: Counting) -> float | None:
    """Return the tokens that theory expects of an arm, None if it has no closed form here."""
    if arm == "first":
        return float(10**task.law.log10_restart_tokens)
    if arm == "min-advantage, progress":
        return task.law.expected_suffix_tokens(task.positions)
    return None


def table(cells: Sequence[dict[str, Any]], p: float) -> Table:
    """Return the table of mean tokens until right, with theory's and those of rewinding by a token."""
    hard = sorted({cell["hard"] for cell in cells})
    made = Table("tokens until right", *(f"K = {count}" for count in hard), box=MARKDOWN)
    for arm in ARMS:
        means = [_mean([cell for cell in cells if (cell["arm"], cell["hard"]) == (arm, k)]) for k in hard]
        made.add_row(arm, *(f"{mean:.0f}" for mean in means))
        expected = [law(arm, Counting(count, p)) for count in hard]
        if None not in expected:
            made.add_row(f"{arm}: theory", *(f"{value:.0f}" for value in expected))
    rewound = [Counting(k, p).law.expected_tokens(Retry.MEMORYLESS) for k in hard]
    made.add_row("a backtrack token: theory", *(f"{value:.0f}" for value in rewound))
    return made


def plot(cells: Sequence[dict[str, Any]]) -> Plot:
    """Return the plot of mean tokens until right."""
    lines = []
    for arm in ARMS:
        values: dict[str, list[float]] = {}
        for cell in cells:
            if cell["arm"] == arm:
                values.setdefault(str(cell["hard"]), []).append(float(np.log10(cell["tokens"])))
        lines.append(Line(arm, values))
    return Plot("Tokens until the answer is right", "hard digits", "log10 tokens", lines)


def _mean(cells: Sequence[dict[str, Any]]) -> float:
    return float(sum(cell["tokens"] for cell in cells)) / len(cells)
