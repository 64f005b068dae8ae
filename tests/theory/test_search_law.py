"""The search law, against closed forms by hand, another theory, and its simulation."""

import math

import numpy as np
import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory import CheckedChain, SearchLaw, Unit, simulate_search
from halluc_plugin.theory.proposals import Distinct, Memoryless, Mixed, Tried
from halluc_plugin.theory.tries import distinct_tries, restarts, uniform_tries

FOUR = Memoryless((0.0,), (0.75,))
SLIPS, DEAD = (0.1, 0.1, 0.05), (0.3, 0.4, 0.2)
RECALL, ALARM = (0.4, 0.6, 0.9), (0.1, 0.05, 0.2)


def test_eight_uniform_tries_of_four_starts():
    """The anchor: with perfect detection 1 - 0.75^8 = 90 %, in tries of 1 token, an edit and an end."""
    law = SearchLaw(FOUR, (1.0,), (0.0,), 7)
    assert law.success == pytest.approx(1 - 0.75**8)
    tries = (1 - 0.75**8) / 0.25
    assert law.tokens == pytest.approx(2 * tries)  # tries, one edit less than tries, and the end
    assert law.taken_back == pytest.approx(tries - 1)


def test_four_distinct_tries_always_find_the_start():
    """And by hand: at place 1 to 4 with equal chance, 1, 3, 5, 7 tokens and the end."""
    law = SearchLaw(Distinct((0.0,), (3,), (1,)), (1.0,), (0.0,), 3)
    assert law.success == pytest.approx(1)
    assert law.tokens == pytest.approx((1 + 3 + 5 + 7) / 4 + 1)


def test_costs_of_two_tries_by_hand():
    """Half right, r = 1, one edit, 2 tokens a step: both contexts by hand."""
    for unit, edits in ((Unit.STEP, 1), (Unit.TOKEN, 2)):
        law = SearchLaw(Memoryless((0.5,), (0.0,)), (1.0,), (0.0,), 1, unit, (2.0,))
        long = 2 + edits + 3
        assert law.tokens == pytest.approx((3 + long) / 2)
        assert law.context(10, hard=False) == pytest.approx(10 * law.tokens + (6 + long * (long + 1) / 2) / 2)
        # Text sees 1 and 2, the end 3; edits see what stands there and themselves: 3, then 2.
        assert law.context(0, hard=True) == pytest.approx((6 + 3 + sum((3, 2)[:edits]) + 6) / 2)


@pytest.mark.parametrize("edits", [0, 1, 5])
@pytest.mark.parametrize(("recall", "alarm"), [(0.9, 0.1), (1.0, 1.0), (0.0, 0.3)])
def test_one_step_is_the_closed_form(edits, recall, alarm):
    """Uniform tries, and distinct ones below the number of branches."""
    assert SearchLaw(FOUR, (recall,), (alarm,), edits).success == pytest.approx(
        uniform_tries(0.75, recall, alarm, edits)
    )
    law = SearchLaw(Distinct((0.0,), (6,), (1,)), (recall,), (alarm,), edits)
    assert law.success == pytest.approx(distinct_tries(7, recall, alarm, edits))


@pytest.mark.parametrize("edits", [0, 1, 6])
def test_restarts_are_their_closed_form(edits):
    """Whole attempts, whatever the step at which each goes wrong and is noticed."""
    law = SearchLaw(Memoryless(SLIPS, DEAD), RECALL, ALARM, edits, Unit.RESTART)
    errors = tuple(a + b for a, b in zip(SLIPS, DEAD, strict=True))
    assert law.success == pytest.approx(restarts(errors, RECALL, ALARM, edits))


def test_perfect_step_backtracks_are_the_recovery_law():
    """All is noticed and there is no limit: right for sure, at L (2/k - 1) actions."""
    chain = CheckedChain(4, 0.3, 1.0)
    law = SearchLaw(Memoryless((0.0,) * 4, (0.3,) * 4), (1.0,) * 4, (0.0,) * 4, 48)
    assert law.success == pytest.approx(chain.success)
    assert law.tokens == pytest.approx(chain.actions + 1)


def test_states_that_are_alike_are_no_mixture():
    """With infinite certainty failures tell nothing; with certainty 1, half become a quarter."""
    alike = SearchLaw(Mixed(SLIPS, DEAD, (math.inf,) * 3), RECALL, ALARM, 5)
    assert alike.success == pytest.approx(SearchLaw(Memoryless(SLIPS, DEAD), RECALL, ALARM, 5).success)
    assert Mixed((0.0,), (0.5,), (1.0,)).live_chance(1, Tried(failed=1)) == pytest.approx(0.25)


LAWS = [
    *(SearchLaw(Memoryless(SLIPS, DEAD), RECALL, ALARM, 5, unit, (3.0, 4.0, 2.0)) for unit in Unit),
    SearchLaw(
        Distinct(SLIPS, (3, 2, 3), (1, 2, 1), (1.0, 2.0, 0.5)), RECALL, ALARM, 9, Unit.STEP, (3.0, 4.0, 2.0)
    ),
    SearchLaw(Distinct(SLIPS, (1, 0, 1), (1, 1, 1)), (1.0,) * 3, ALARM, 12, Unit.TOKEN, (3.0, 4.0, 2.0)),
    SearchLaw(Mixed(SLIPS, DEAD, (1.0, 2.0, 0.5)), RECALL, ALARM, 6, Unit.STEP, (3.0, 4.0, 2.0)),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: f"{type(law.proposal).__name__}-{law.unit}-{law.edits}")
def test_simulation_meets_the_law(law):
    """Accuracy, tokens and positions of 5,000 runs lie within four standard errors."""
    runs = simulate_search(law, 5000, np.random.default_rng(11))
    expected = law.success, law.tokens, law.context(0, hard=False), law.context(0, hard=True)
    for values, exact in zip(
        (runs.right, runs.tokens, runs.seen_soft, runs.seen_hard), expected, strict=True
    ):
        assert abs(values.mean() - exact) <= 4 * values.std() / math.sqrt(len(values)) + 1e-12


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Memoryless((0.6,), (0.5,)), "add to more than 1"),
        (lambda: Memoryless((0.1, 0.1), (0.5,)), "2 rates of slips and 1 of dead ends"),
        (lambda: Mixed((0.1,), (0.5,), (0.0,)), "Certainties"),
        (lambda: Distinct((0.0,), (3,), (0,)), "no live branch"),
        (lambda: SearchLaw(FOUR, (1.2,), (0.0,), 3), "recall = 1.2"),
        (lambda: SearchLaw(FOUR, (1.0, 1.0), (0.0,), 3), "2 values of recall for 1 steps"),
        (lambda: SearchLaw(FOUR, (1.0,), (0.0,), -1), "-1 edits"),
        (
            lambda: SearchLaw(
                Distinct((0.0,) * 2, (3,) * 2, (1,) * 2), (1.0,) * 2, (0.0,) * 2, 3, Unit.RESTART
            ),
            "restart leaves all states",
        ),
        (lambda: distinct_tries(4, 1.0, 0.0, 4), "5 tries of 4 branches"),
    ],
)
def test_what_no_law_is_for_is_refused(make, words):
    """Each with the value that is wrong."""
    with pytest.raises(SettingsError, match=words):
        make()
