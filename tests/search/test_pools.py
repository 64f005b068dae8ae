"""A pool of prefixes by hand: 0 is EOS, 1 ends a step, the prompt is (9,)."""

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.search.pools import Pooling, stochastic_backtracking

PROMPT = (9,)
TABLE = {(): 0.3, (3, 1): 0.6, (4, 1): 0.4, (3, 1, 5, 1): 0.2, (3, 1, 6, 1): 0.1, (4, 1, 7, 0): 0.9}


def test_a_prefix_of_an_earlier_round_goes_on(space, script, values, guided):
    """The whole pool competes: what follows (3, 1) is worth less than (4, 1), to which it comes back."""
    model = script({
        PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)],
        (9, 3, 1): [((5, 1), -1.0), ((6, 1), -1.0)],
        (9, 4, 1): [((8, 8), -1.0), ((7, 0), -1.0)],
    })  # fmt: skip
    result = guided(stochastic_backtracking(PROMPT, space, Pooling(n=2, share=1.0)), model, values(TABLE))
    assert [one.ids for one in result.responses] == [(4, 1, 7, 0)]
    assert model.calls == [[PROMPT] * 2, [(9, 3, 1), (9, 4, 1)], [(9, 3, 1), (9, 4, 1)]]


def test_a_part_of_the_pool_competes(space, script, values, guided):
    """Of three prefixes one is drawn at a time: over seeds each goes on, the worst one, too."""
    seconds = set()
    for seed in range(30):
        going = {state: [((8, 8), -1.0)] for state in (PROMPT, (9, 3, 1))}
        model = script({**going, PROMPT: [((3, 1), -1.0), ((8, 8), -1.0)]})
        plan = Pooling(n=1, rounds=2, share=0.1, seed=seed)
        guided(stochastic_backtracking(PROMPT, space, plan), model, values(TABLE))
        seconds.add(model.calls[1][0])
    assert seconds == {PROMPT, (9, 3, 1)}


def test_rounds_end_the_search(space, script, values, guided):
    """Nothing that ends was written."""
    model = script({PROMPT: [((8, 8), -1.0)] * 6})
    result = guided(stochastic_backtracking(PROMPT, space, Pooling(n=2, rounds=3)), model, values(TABLE))
    assert (result.responses, len(model.calls)) == ([], 3)


@pytest.mark.parametrize(
    "bad", [{"n": 0}, {"rounds": 0}, {"share": 0.0}, {"share": 1.1}, {"p_des": -0.1}], ids=str
)
def test_bad_plans(bad):
    """A number out of range."""
    with pytest.raises(SettingsError, match=r"Give|is"):
        Pooling(**bad)
