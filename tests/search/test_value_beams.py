"""Beams over steps by value, by hand: 0 is EOS, 1 ends a step, the prompt is (9,)."""

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.search.value_beams import value_beam

PROMPT = (9,)


def test_the_prefixes_of_most_value_go_on(space, script, values, guided):
    """Of three first steps two are kept; of their children the best two, one of which is finished."""
    model = script({
        PROMPT: [((3, 1), -1.0), ((4, 1), -1.0), ((5, 1), -1.0)],
        (9, 4, 1): [((6, 1), -1.0), ((6, 1), -1.0), ((7, 2), -1.0)],
        (9, 5, 1): [((6, 0), -1.0), ((7, 1), -1.0), ((8, 1), -1.0)],
        (9, 4, 1, 6, 1): [((3, 0), -1.0), ((4, 0), -1.0), ((5,), -1.0)],
    })  # fmt: skip
    rater = values({
        (3, 1): 0.1, (4, 1): 0.3, (5, 1): 0.2,
        (4, 1, 6, 1): 0.6, (5, 1, 6, 0): 0.5, (5, 1, 7, 1): 0.4, (5, 1, 8, 1): 0.3,
        (4, 1, 6, 1, 3, 0): 0.2, (4, 1, 6, 1, 4, 0): 0.7,
    })  # fmt: skip
    result = guided(value_beam(PROMPT, space, 3, 2), model, rater)
    assert [one.ids for one in result.responses] == [(4, 1, 6, 1, 4, 0), (5, 1, 6, 0)]
    assert [len(call) for call in model.calls] == [3, 6, 3]
    assert [len(call) for call in rater.calls] == [3, 4, 2]


def test_a_look_ahead_tells_what_becomes_of_a_step(space, script, values, guided):
    """The step that looks better leads to worse: one greedy step shows it, and is paid for."""
    model = script({
        PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)],
        (9, 3, 1): [((6, 1), -1.0), ((6, 0), -1.0), ((6, 0), -1.0)],
        (9, 4, 1): [((7, 1), -1.0), ((7, 0), -1.0), ((7, 0), -1.0)],
    })  # fmt: skip
    table = {(3, 1): 0.9, (3, 1, 6, 1): 0.1, (4, 1): 0.2, (4, 1, 7, 1): 0.8, (4, 1, 7, 0): 0.8}
    result = guided(value_beam(PROMPT, space, 2, 1, lookahead=1), model, values(table))
    assert [one.ids for one in result.responses] == [(4, 1, 7, 0)]
    assert result.cost.tokens == 4 + 4 + 4


def test_without_a_look_ahead_the_better_looking_step_is_followed(space, script, values, guided):
    """The same model, and the same values."""
    model = script({PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)], (9, 3, 1): [((6, 0), -1.0)] * 2})
    table = {(3, 1): 0.9, (3, 1, 6, 1): 0.1, (4, 1): 0.2, (4, 1, 7, 0): 0.8}
    result = guided(value_beam(PROMPT, space, 2, 1), model, values(table))
    assert [one.ids for one in result.responses] == [(3, 1, 6, 0)]


def test_where_nothing_goes_on_the_search_ends(space, script, values, guided):
    """Steps that were cut off, and a prefix without room, are dropped."""
    model = script({PROMPT: [((3, 3), -1.0), ((2,), -1.0), ((3,) * 11 + (1,), -1.0)]})
    result = guided(value_beam(PROMPT, space, 3, 2), model, values({}))
    assert (result.responses, len(model.calls)) == ([], 1)


@pytest.mark.parametrize("bad", [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_bad_amounts(space, bad):
    """A width, a number of proposals or a look-ahead out of range."""
    proposals, width, lookahead = bad
    with pytest.raises(SettingsError, match="look-ahead"):
        value_beam(PROMPT, space, proposals, width, lookahead=lookahead)
