"""Best-of-N and weighted majority by hand: 0 is EOS, 1 ends a step, the prompt is (9,)."""

import pytest

from halluc_plugin.search.ranking import Reduction, ranked

PROMPT = (9,)
EVEN, RISING, FALLING = (3, 1, 4, 0), (5, 1, 6, 0), (7, 1, 8, 0)
VALUES = {
    (3, 1): 0.5, EVEN: 0.5,
    (5, 1): 0.2, RISING: 0.9,
    (7, 1): 1.0, FALLING: 0.4,
}  # fmt: skip


BEST = {Reduction.LAST: RISING, Reduction.MIN: EVEN, Reduction.PRODUCT: FALLING}


@pytest.mark.parametrize("reduction", list(Reduction))
def test_best_of_n(space, script, values, guided, reduction):
    """Last values 0.5, 0.9, 0.4; least 0.5, 0.2, 0.4; products 0.25, 0.18, 0.4."""
    model = script({PROMPT: [(EVEN, -1.0), (RISING, -1.0), (FALLING, -1.0), ((6, 6), -1.0), ((2,), -1.0)]})
    result = guided(ranked(PROMPT, space, 5, reduction), model, values(VALUES))
    assert result.responses[0].ids == BEST[reduction]
    assert {one.ids for one in result.responses} == {EVEN, RISING, FALLING}
    assert result.cost.tokens == 4 + 4 + 4 + 2 + 1
    assert result.cost.rated.scorer_tokens == 3 * 5


def test_weighted_majority(space, script, values, guided):
    """0.5 + 0.5 for one answer against 0.9 for the other; without weights of equals the better."""
    model = script({PROMPT: [(EVEN, -1.0), (RISING, -1.0), (EVEN, -1.0)]})
    means = {EVEN: "even", RISING: "rising"}
    found = ranked(PROMPT, space, 3, Reduction.LAST, lambda one: means[one.ids])
    result = guided(found, model, values(VALUES))
    assert [one.ids for one in result.responses] == [EVEN, RISING, EVEN]
    assert result.cost.rated.scorer_tokens == 2 * 5  # equal answers are rated once


def test_who_abstains_has_no_vote(space, script, values, guided):
    """The best answer comes to nothing, and another one is given."""
    model = script({PROMPT: [(EVEN, -1.0), (RISING, -1.0)]})
    search = ranked(PROMPT, space, 2, Reduction.LAST, lambda one: None if one.ids == RISING else "even")
    assert guided(search, model, values(VALUES)).responses[0].ids == EVEN


def test_where_nothing_ends_nothing_is_found(space, script, values, guided):
    """And nothing is rated."""
    rater = values(VALUES)
    result = guided(ranked(PROMPT, space, 1, Reduction.LAST), script({PROMPT: [((3, 1), -1.0)]}), rater)
    assert (result.responses, rater.calls) == ([], [])
