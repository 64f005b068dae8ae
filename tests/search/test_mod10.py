"""The didactic task of OpenReview hJ2BCYGvFg, section 3.1, run by the search itself, in tokens."""

import numpy as np
import pytest
import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.sampling.states import End, Sample, Space
from halluc_plugin.scorers.steps import Spent, StepScores
from halluc_plugin.search import run
from halluc_plugin.search.revision import Arm, Better, Revising, revise
from halluc_plugin.theory.mod10 import Mod10, Retry

LENGTH, P = 20, 0.4
HARD = (6, 16)
TASK = Mod10(LENGTH, len(HARD), P)
DIGITS = range(10)
PROMPT = (11,)
SPACE = Space(EditVocab(backtrack=10), frozenset({12}), frozenset(DIGITS), max_tokens=LENGTH + 1)
ANSWER = tuple(t % 10 for t in range(LENGTH))


class Policy:
    """Counts; at a hard place it writes the right digit with probability p, else a 1."""

    def __init__(self, seed):
        self._rng = np.random.default_rng(seed)

    def sample(self, requests):
        """The whole rest of an answer each."""
        return [self._rest(len(request.prefix) - len(PROMPT)) for request in requests]

    def _rest(self, start):
        digits = [t % 10 if t not in HARD or self._rng.random() < P else 1 for t in range(start, LENGTH)]
        return Sample((*digits, 12), (0.0,) * (len(digits) + 1), End.EOS)


class Oracle:
    """1 for a prefix without a wrong digit, 0 for another."""

    def rate(self, prompts, steps):
        """Each digit is a step; EOS belongs to the last one."""
        rows = []
        for response in steps:
            right = [step[0] == digit for step, digit in zip(response, ANSWER, strict=True)]
            rows.append([1.0, *np.cumprod(right).tolist()])
        return StepScores(torch.tensor(rows), [Spent()] * len(steps))


def solved(plan, runs):
    """Tokens of each of so many searches, and whether each found the answer."""
    searches = [revise(PROMPT, SPACE, plan) for _ in range(runs)]
    found = run(searches, [PROMPT] * runs, Policy(0), rater=Oracle())
    return (
        np.array([one.cost.tokens for one in found]),
        [one.responses[0].ids[:-1] == ANSWER for one in found],
    )


def test_revision_by_an_oracle_costs_what_the_theory_says():
    """Of 4000 searches all are solved, and mean tokens are those of the closed form, EOS beside."""
    plan = Revising(n=1, revisions=200, p_des=1.0, better=Better.PROGRESS)
    tokens, right = solved(plan, 4000)
    assert all(right)
    # An EOS is written with each suffix: L + 1 tokens in the place of L.
    expected = Mod10(LENGTH + 1, len(HARD), P).expected_suffix_tokens(HARD)
    assert expected == 21 + 1.5 * (15 + 5)
    assert abs(tokens.mean() - expected) < 4 * tokens.std() / np.sqrt(len(tokens))


def test_by_final_values_alone_a_partial_repair_is_lost():
    """All wrong answers are worth 0 in the end: the first mistake is repaired again and again."""
    plan = Revising(n=1, revisions=200, p_des=1.0, better=Better.FINAL)
    tokens, right = solved(plan, 1000)
    assert all(right)
    assert tokens.mean() > 1.3 * Mod10(LENGTH + 1, len(HARD), P).expected_suffix_tokens(HARD)


def test_from_the_first_step_whole_answers_are_sampled():
    """Until one is right: L p^-K tokens, EOS beside."""
    plan = Revising(n=1, revisions=200, p_des=1.0, arm=Arm.FIRST)
    tokens, right = solved(plan, 1000)
    assert all(right)
    expected = (LENGTH + 1) * 10**-TASK.log10_sample_success
    assert abs(tokens.mean() - expected) < 4 * tokens.std() / np.sqrt(len(tokens))


def test_the_papers_setting():
    """Samples are linear in the errors, but tokens of whole suffixes are 300 times those of rewinding."""
    paper = Mod10()
    whole = paper.expected_suffix_tokens(range(6, 1500, 10))
    assert whole == pytest.approx(2_136_150)
    assert paper.expected_tokens(Retry.MEMORYLESS) == pytest.approx(7200)
