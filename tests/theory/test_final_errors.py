"""The final-error count, and where the usual bound goes wrong."""

import math

import numpy as np
import pytest

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory import (
    CheckedChain,
    erasure_precision,
    expected_final_errors,
    simulate_chain,
    usual_bound,
)

RIGHT, WRONG, BACKTRACK, RESTART = 0, 1, 2, 3


def test_count_by_hand():
    """L = 100, e = 0.2, r = 0.5, s = 0.75: k = 0.7, 1000/7 steps written, 1/10 of them wrong and kept."""
    chain = CheckedChain(100, 0.2, 0.5, 0.25)
    assert expected_final_errors(chain) == pytest.approx(100 / 7)


@pytest.mark.parametrize(("error", "recall", "alarm"), [(0.3, 0.5, 0.0), (0.05, 0.8, 0.3), (0.6, 0.2, 0.4)])
def test_count_equals_a_binomial_of_the_kept_steps(error, recall, alarm):
    """The mean of the exact distribution: a kept step is wrong with the chance that Bayes' rule gives it."""
    chain = CheckedChain(8, error, recall, alarm)
    wrong = error * (1 - recall) / (error * (1 - recall) + (1 - error) * (1 - alarm))
    mean = sum(k * math.comb(8, k) * wrong**k * (1 - wrong) ** (8 - k) for k in range(9))
    assert expected_final_errors(chain) == pytest.approx(mean)


def test_simulated_count_meets_the_formula():
    """The mean of 20,000 runs lies within four standard errors, with and without false alarms."""
    for chain in (CheckedChain(30, 0.3, 0.5), CheckedChain(30, 0.05, 0.8, 0.3)):
        counts = simulate_chain(chain, 20_000, np.random.default_rng(5)).final_wrong
        assert abs(counts.mean() - expected_final_errors(chain)) <= 4 * counts.std() / math.sqrt(20_000)


def test_bookkeeping_holds_on_any_trace():
    """Whatever is edited: errors left = wrong ones written x (1 - recall); right ones likewise."""
    vocab, rng = EditVocab(backtrack=BACKTRACK, restart=RESTART), np.random.default_rng(11)
    for _ in range(300):
        trace = rng.choice(4, size=30, p=[0.4, 0.2, 0.37, 0.03]).tolist()
        state = EditState(vocab)
        erased = [trace[i] for token in trace for i in state.push(token)]
        wrong, right = trace.count(WRONG), trace.count(RIGHT)
        recall = erased.count(WRONG) / wrong if wrong else 0
        specificity = 1 - erased.count(RIGHT) / right if right else 1
        assert state.live_ids.count(WRONG) == pytest.approx(wrong * (1 - recall))
        assert state.live_ids.count(RIGHT) == pytest.approx(right * specificity)


def test_simulated_runs_obey_the_bookkeeping_over_all_written_steps():
    """Measured over all written steps, recall and specificity are those of the chain."""
    chain = CheckedChain(40, 0.3, 0.6, 0.2)
    runs = simulate_chain(chain, 5000, np.random.default_rng(2))
    wrong, left = runs.written_wrong.sum(), runs.final_wrong.sum()
    assert abs(left / wrong - 0.4) <= 4 * math.sqrt(0.24 / wrong)
    right, right_kept = runs.written.sum() - wrong, 40 * 5000 - left
    assert abs(right_kept / right - 0.8) <= 4 * math.sqrt(0.16 / right)


def test_usual_bound_is_too_low_without_false_alarms():
    """With p = 1 it says L e (1 - r); rewritten steps that are wrong again make it L e (1 - r)/(1 - e r)."""
    chain = CheckedChain(100, 0.3, 0.5)
    assert usual_bound(chain, 1.0) == pytest.approx(15)
    assert expected_final_errors(chain) == pytest.approx(15 / 0.85)


def test_usual_bound_counts_rewritten_right_steps_as_errors():
    """With perfect recall no error is left, but the bound still has L (1 - e) f of them."""
    chain = CheckedChain(100, 0.05, 1.0, 0.1)
    assert expected_final_errors(chain) == 0
    assert usual_bound(chain, 0.9) == pytest.approx(9.5)


def test_precision_is_not_specificity():
    """At e = f = 0.05, r = 0.8 precision is 0.04/0.0875; with it the bound exceeds half the answer."""
    chain = CheckedChain(100, 0.05, 0.8, 0.05)
    precision = erasure_precision(chain)
    assert precision == pytest.approx(0.04 / 0.0875)
    assert usual_bound(chain, precision) == pytest.approx(1 + 95 * (1 - 0.04 / 0.0875))
    assert expected_final_errors(chain) == pytest.approx(1 / 0.9125)


def test_precision_of_no_edits_is_nan():
    """Where nothing is ever erased there is no share of erased steps."""
    assert math.isnan(erasure_precision(CheckedChain(10, 0.1, 0.0)))


def test_usual_bound_refuses_a_p_that_is_no_share():
    """Whichever it is read as, p is a probability."""
    with pytest.raises(SettingsError, match=r"p = 1\.2"):
        usual_bound(CheckedChain(10, 0.1, 0.5), 1.2)
