"""The mod-10 task: closed forms against exact enumeration, simulation and real digits."""

import math

import numpy as np
import pytest

from halluc_plugin.edits import EditState, EditVocab, collapse
from halluc_plugin.errors import SettingsError
from halluc_plugin.theory import Mean, Mod10, Retry, simulate_solved, simulate_tokens

BACKTRACK = 10


def tabu_by_enumeration(p, shares, banned=frozenset()):
    """Expected wrong attempts when erased digits are banned, over every order in which they can come."""
    left = {i: share for i, share in enumerate(shares) if i not in banned}
    mass = p + sum(left.values())
    return sum(share / mass * (1 + tabu_by_enumeration(p, shares, banned | {i})) for i, share in left.items())


def test_the_papers_setting():
    """10^-195 a sample, 7200 actions without memory, 1785 if the second attempt is always right."""
    task = Mod10()
    assert task.log10_sample_success == pytest.approx(-195.15, abs=0.01)
    assert task.log10_restart_tokens == pytest.approx(198.33, abs=0.01)
    assert task.expected_tokens(Retry.MEMORYLESS) == pytest.approx(7200)
    assert task.expected_tokens(Retry.SOFT) == pytest.approx(1785)
    assert Mod10(wrong=(1.0,)).expected_tokens(Retry.TABU) == pytest.approx(1785)


@pytest.mark.parametrize(("p", "memoryless", "second_right"), [(0.5, 120, 110), (0.05, 480, 119)])
def test_a_hundred_digits(p, memoryless, second_right):
    """L = 100, K = 10, by hand."""
    task = Mod10(100, 10, p, wrong=(1.0,))
    assert task.expected_tokens(Retry.MEMORYLESS) == pytest.approx(memoryless)
    assert task.expected_tokens(Retry.TABU) == pytest.approx(second_right)
    assert task.expected_tokens(Retry.SOFT) == pytest.approx(second_right)


@pytest.mark.parametrize(("length", "expected"), [(60, 0.635), (100, 0.0606), (200, 6.10e-5)])
def test_pass_at_64_at_p_one_half(length, expected):
    """One position in ten is hard: 1 - (1 - 2^-K)^64."""
    assert Mod10(length, length // 10, 0.5).pass_at(64) == pytest.approx(expected, rel=2e-3)


def test_pass_at_n_does_not_round_tiny_chances_away():
    """64 samples at 10^-195.15 each succeed with 64 times that; a policy that is always right, with 1."""
    assert math.log10(Mod10().pass_at(64)) == pytest.approx(-195.1545 + math.log10(64), abs=1e-3)
    assert Mod10(p=1.0).pass_at(1) == 1


@pytest.mark.parametrize(
    ("p", "wrong"),
    [(0.05, (1.0,) * 6), (0.3, (5.0, 1.0)), (0.1, (1.0, 2.0, 4.0, 8.0)), (0.9, (1.0,)), (1.0, (1.0,))],
)
def test_tabu_equals_enumeration_of_all_orders(p, wrong):
    """The sum over exponential clocks is the mean over all draws without replacement."""
    task = Mod10(p=p, wrong=wrong)
    shares = (1 - p) * task.wrong_shares
    assert task.wrong_attempts(Retry.TABU) == pytest.approx(tabu_by_enumeration(p, shares.tolist()))


def test_tabu_over_equally_likely_digits_by_hand():
    """Ten digits of 0.1 each in random order: 4.5 of them come before the right one on average."""
    assert Mod10(p=0.1).wrong_attempts(Retry.TABU) == pytest.approx(4.5)


def test_tabu_lies_between_one_wrong_candidate_and_no_memory():
    """From 1 - p if one wrong digit has all the mass, up the evener it is spread, to 1/p - 1."""
    p = 0.05
    spreads = [(1.0,), (9.0, 1.0), (1.0, 1.0), (1.0,) * 9, (1.0,) * 100_000]
    means = [Mod10(p=p, wrong=wrong).wrong_attempts(Retry.TABU) for wrong in spreads]
    assert means == sorted(means)
    assert means[0] == pytest.approx(1 - p)
    assert means[3] == pytest.approx(9 * 0.95 / (9 * 0.05 + 0.95))
    assert means[-1] == pytest.approx(1 / p - 1, rel=1e-3)


def test_soft_retries_that_learn_nothing_are_memoryless():
    """With q = p they cost what hard context costs; with q below p, more."""
    same, worse = Mod10(p=0.2, retry_p=0.2), Mod10(p=0.2, retry_p=0.1)
    assert same.wrong_attempts(Retry.SOFT) == pytest.approx(same.wrong_attempts(Retry.MEMORYLESS))
    assert worse.wrong_attempts(Retry.SOFT) > worse.wrong_attempts(Retry.MEMORYLESS)


def test_soft_equals_a_two_state_chain():
    """Expected failures from the fundamental matrix of (first attempt, later attempt)."""
    p, q = 0.3, 0.6
    visits = np.linalg.inv(np.eye(2) - np.array([[0, 1 - p], [0, 1 - q]]))
    failures = visits[0] @ [1 - p, 1 - q]
    assert Mod10(p=p, retry_p=q).wrong_attempts(Retry.SOFT) == pytest.approx(failures)


@pytest.mark.parametrize("retry", Retry)
@pytest.mark.parametrize(
    "task",
    [Mod10(40, 10, 0.1, retry_p=0.4), Mod10(30, 5, 0.5, wrong=(1.0, 6.0)), Mod10(20, 20, 1.0)],
    ids=str,
)
def test_simulation_meets_the_closed_form(task, retry):
    """Means of 8,000 answers lie within four standard errors."""
    actions = simulate_tokens(task, retry, 8000, np.random.default_rng(6))
    error = actions.std() / math.sqrt(8000)
    assert abs(actions.mean() - task.expected_tokens(retry)) <= 4 * error


def test_simulated_best_of_n_meets_the_closed_form():
    """20,000 trials of 16 answers, within four standard errors."""
    task = Mod10(40, 4, 0.5)
    share = simulate_solved(task, 16, 20_000, np.random.default_rng(8)).mean()
    exact = task.pass_at(16)
    assert abs(share - exact) <= 4 * math.sqrt(exact * (1 - exact) / 20_000)


def write_answer(terms, task, retry, rng):
    """Sum the terms modulo 10, digit by digit, as a raw trace; bans are kept by the live prefix itself."""
    state, trace, bans = EditState(EditVocab(backtrack=BACKTRACK)), [], {}
    while state.depth < len(terms):
        at = state.depth
        right = (terms[at] + (state.live_ids[-1] if state.live_ids else 0)) % 10
        chances = np.full(10, (1 - task.p) / 9) if at % 10 == 0 else np.zeros(10)
        chances[right] = task.p if at % 10 == 0 else 1.0
        if retry is Retry.TABU:
            chances[list(bans.get(tuple(state.live_ids), ()))] = 0
        digit = int(rng.choice(10, p=chances / chances.sum()))
        actions = [digit] if digit == right else [digit, BACKTRACK]
        if digit != right:
            bans.setdefault(tuple(state.live_ids), set()).add(digit)
        trace += actions
        state.extend(actions)
    return trace


@pytest.mark.parametrize("retry", [Retry.MEMORYLESS, Retry.TABU])
def test_raw_traces_of_digits_cost_what_the_count_says(retry):
    """Written with real backtracks, answers collapse to the running sum and have the expected length."""
    task, rng, lengths = Mod10(20, 2, 0.2), np.random.default_rng(10), []
    for _ in range(800):
        terms = rng.integers(10, size=20).tolist()
        trace = write_answer(terms, task, retry, rng)
        assert collapse(trace, EditVocab(backtrack=BACKTRACK)) == (np.cumsum(terms) % 10).tolist()
        lengths.append(len(trace))
    mean = Mean.of(np.array(lengths))
    assert abs(mean.value - task.expected_tokens(retry)) <= 4 * (mean.high - mean.low) / (2 * 1.96)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"p": 0.0}, "p = 0.0 is no probability"),
        ({"retry_p": 0.0}, "retry_p = 0.0"),
        ({"length": 10, "hard": 11}, "11 hard positions among 10"),
        ({"wrong": ()}, "all positive"),
        ({"wrong": (1.0, 0.0)}, "all positive"),
    ],
)
def test_impossible_tasks_are_refused(arguments, words):
    """Each error names the value that cannot be."""
    with pytest.raises(SettingsError, match=words):
        Mod10(**arguments)


@pytest.mark.parametrize("positions", [(6,), (6, 6), (6, 20), (-1, 6)])
def test_hard_positions_that_are_none_are_refused(positions):
    """One too few, one twice, one behind the end, one before the start."""
    with pytest.raises(SettingsError, match="hard ones of 20"):
        Mod10(length=20, hard=2).expected_suffix_tokens(positions)
