"""The error-recovery law, against linear algebra, simulation and real traces."""

import math

import numpy as np
import pytest

from halluc_plugin.edits import EditState, EditVocab, collapse
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory import CheckedChain, Mean, simulate_chain

RIGHT, WRONG, BACKTRACK = 0, 1, 2
VOCAB = EditVocab(backtrack=BACKTRACK)

CHAINS = [
    CheckedChain(50, 0.02, 0.0),
    CheckedChain(50, 0.02, 0.9),
    CheckedChain(12, 0.3, 0.7, 0.2),
    CheckedChain(7, 0.5, 0.1, 0.6),
    CheckedChain(5, 0.2, 1.0, 0.5),
]


def solve(chain):
    """P(right) and expected steps written, from the fundamental matrix of the absorbing Markov chain.

    State (i, spoiled): i steps kept so far. One transition is one attempt.
    """
    n, e, r, f = chain.length, chain.error, chain.recall, chain.false_alarm
    inner, ends = np.zeros((2 * n, 2 * n)), np.zeros((2 * n, 2))
    for i in range(n):
        for spoiled in (0, 1):
            here = 2 * i + spoiled
            inner[here, here] = e * r + (1 - e) * f
            for wrong, chance in ((0, (1 - e) * (1 - f)), (1, e * (1 - r))):
                after = int(spoiled or wrong)
                if i + 1 == n:
                    ends[here, after] += chance
                else:
                    inner[here, 2 * (i + 1) + after] += chance
    visits = np.linalg.inv(np.eye(2 * n) - inner)
    return (visits @ ends)[0, 0], visits[0].sum()


@pytest.mark.parametrize(
    ("recall", "expected"), [(0, 0.364), (0.5, 0.602), (0.8, 0.816), (0.9, 0.903), (0.95, 0.950), (1, 1)]
)
def test_law_at_fifty_steps_and_two_percent_error(recall, expected):
    """L = 50, e = 0.02, f = 0: six values by hand, at no more than 1/0.98 of the steps."""
    chain = CheckedChain(50, 0.02, recall)
    assert chain.success == pytest.approx(expected, abs=5e-4)
    assert chain.written / 50 <= 1 / 0.98 + 1e-12


def test_one_step_by_hand():
    """With e = r = 1/2, f = 1/5: kept right 0.4, kept wrong 0.25, so 0.4/0.65 right at 1/0.65 attempts."""
    chain = CheckedChain(1, 0.5, 0.5, 0.2)
    assert chain.kept == pytest.approx(0.65)
    assert chain.success == pytest.approx(0.4 / 0.65)
    assert chain.written == pytest.approx(1 / 0.65)
    assert chain.actions == pytest.approx(2 / 0.65 - 1)


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_law_equals_the_absorbing_markov_chain(chain):
    """Success and cost agree with the fundamental matrix, which knows no independence of steps."""
    success, written = solve(chain)
    assert chain.success == pytest.approx(success, rel=1e-12)
    assert chain.written == pytest.approx(written, rel=1e-12)


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_simulation_meets_the_law(chain):
    """Shares and means of 20,000 runs lie within four standard errors of the closed forms."""
    n = 20_000
    runs = simulate_chain(chain, n, np.random.default_rng(7))
    spread = math.sqrt(chain.success * (1 - chain.success) / n)
    assert abs(runs.solved / n - chain.success) <= 4 * spread
    for values, exact in ((runs.written, chain.written), (runs.actions, chain.actions)):
        assert abs(values.mean() - exact) <= 4 * values.std() / math.sqrt(n) + 1e-12


def test_checking_helps_exactly_when_recall_exceeds_the_false_alarm():
    """The answer is likelier right than without checks if r > f, as likely if r = f, less likely if r < f."""
    unchecked = CheckedChain(20, 0.1, 0.0).success
    assert CheckedChain(20, 0.1, 0.31, 0.3).success > unchecked
    assert CheckedChain(20, 0.1, 0.3, 0.3).success == pytest.approx(unchecked)
    assert CheckedChain(20, 0.1, 0.29, 0.3).success < unchecked


def test_two_looks_act_as_one_sharper_look():
    """Two independent looks are one with r' = 1 - (1 - r)² and f' = 1 - (1 - f)²."""
    e, r, f = 0.2, 0.5, 0.1
    right, wrong = (1 - e) * (1 - f) ** 2, e * (1 - r) ** 2
    assert CheckedChain(3, e, 1 - (1 - r) ** 2, 1 - (1 - f) ** 2).success == pytest.approx(
        (right / (right + wrong)) ** 3
    )


def written_out(chain, rng):
    """One run of the chain as a raw trace of token ids, the policy looking at the live text only."""
    state, trace = EditState(VOCAB), []
    while True:
        token = WRONG if rng.random() < chain.error else RIGHT
        trace.append(token)
        state.push(token)
        if rng.random() < (chain.recall if token == WRONG else chain.false_alarm):
            trace.append(BACKTRACK)
            state.push(BACKTRACK)
        elif state.depth == chain.length:
            return trace


def test_counted_chain_is_what_edit_resolution_leaves():
    """Raw traces of the chain collapse to L steps, cost 2W - L actions, and are right as often as it says."""
    chain, rng, n = CheckedChain(10, 0.15, 0.7, 0.1), np.random.default_rng(3), 3000
    solved, lengths = 0, []
    for _ in range(n):
        trace = written_out(chain, rng)
        resolved = collapse(trace, VOCAB)
        written = sum(token != BACKTRACK for token in trace)
        assert len(resolved) == 10
        assert len(trace) == 2 * written - 10
        solved += WRONG not in resolved
        lengths.append(len(trace))
    assert abs(solved / n - chain.success) <= 4 * math.sqrt(chain.success * (1 - chain.success) / n)
    mean = Mean.of(np.array(lengths))
    assert abs(mean.value - chain.actions) <= 4 * (mean.high - mean.low) / (2 * 1.96)


def test_an_empty_chain_is_right_and_free():
    """L = 0 needs nothing and cannot fail."""
    chain = CheckedChain(0, 0.5, 0.5)
    assert (chain.success, chain.written, chain.actions) == (1, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((10, 1.5, 0.5), "error = 1.5 is no probability"),
        ((10, 0.5, -0.1), "recall = -0.1"),
        ((10, 0.5, 0.5, float("nan")), "false_alarm = nan"),
        ((-1, 0.5, 0.5), "-1 steps"),
        ((10, 1.0, 1.0), "never ends"),
    ],
)
def test_impossible_chains_are_refused(arguments, words):
    """Probabilities outside [0, 1], negative lengths and chains that never end name the offending value."""
    with pytest.raises(SettingsError, match=words):
        CheckedChain(*arguments)


def test_one_run_has_no_interval():
    """A simulation of fewer than two runs is refused."""
    with pytest.raises(SettingsError, match="samples >= 2"):
        simulate_chain(CHAINS[0], 1, np.random.default_rng(0))


def test_mean_interval_by_hand():
    """Values 1 and 3: mean 2, standard error sqrt(2)/sqrt(2) = 1, limits 2 ± 1.96."""
    mean = Mean.of(np.array([1, 3]))
    assert (mean.value, mean.n) == (2, 2)
    assert (mean.low, mean.high) == (pytest.approx(0.040036, abs=1e-5), pytest.approx(3.959964, abs=1e-5))
