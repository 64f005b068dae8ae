"""Draft, then verify, by hand: 0 is EOS, 1 ends a step, 2 takes back, the prompt is (9,)."""

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.search.drafting import Drafting, draft_verify

PROMPT = (9,)
TABLE = {(3, 1): 0.6, (3, 1, 4, 1): 0.4, (3, 1, 5, 1, 6, 0): 0.5, (7, 1): 0.1, (8, 1): 0.7, (8, 1, 6, 0): 1.0}


def test_accepted_steps_stay_and_others_are_written_anew(space, script, values, guided):
    """The second step is taken back and written by the model, unrated; the draft goes on behind it."""
    draft = script({
        PROMPT: [((3, 1), -1.0)],
        (9, 3, 1): [((4, 1), -1.0)],
        (9, 3, 1, 5, 1): [((6, 0), -1.0)],
    })  # fmt: skip
    policy, rater = script({(9, 3, 1): [((5, 1), -2.0)]}), values(TABLE)
    result = guided(draft_verify(PROMPT, space, Drafting()), policy, rater, draft=draft)
    assert [one.ids for one in result.responses] == [(3, 1, 5, 1, 6, 0)]
    assert result.responses[0].logprobs == (-1.0, -1.0, -2.0, -2.0, -1.0, -1.0)
    assert rater.calls == [[((3, 1),)], [((3, 1), (4, 1))], [((3, 1), (5, 1), (6, 0))]]
    assert (result.cost.tokens, result.drafted.tokens) == (2, 6)
    # Slots: the draft computes the prompt, its steps, and the model's; the model the prompt, what it reads.
    assert (result.drafted.slots, result.cost.slots) == (1 + 2 + 2 + 2 + 2, 1 + 2 + 2)


def test_the_draft_tries_again_before_the_model_writes(space, script, values, guided):
    """The first of N proposals that is good enough stays; those behind it are never drawn."""
    draft = script({
        PROMPT: [((7, 1), -1.0), ((8, 1), -1.0)],
        (9, 8, 1): [((6, 0), -1.0)],
    })  # fmt: skip
    plan = Drafting(n=3, accept=0.7)
    result = guided(draft_verify(PROMPT, space, plan), script({}), values(TABLE), draft=draft)
    assert [one.ids for one in result.responses] == [(8, 1, 6, 0)]
    assert (result.cost.tokens, result.drafted.tokens) == (0, 6)


@pytest.mark.parametrize("proposal", [(3, 2), (3,) * 12, (3,) * 11 + (1,)], ids=["edit", "length", "no room"])
def test_a_proposal_that_is_no_step_is_rejected_unrated(space, script, values, guided, proposal):
    """It ends with an edit, by length, or with nothing to come behind it."""
    draft, policy = script({PROMPT: [(proposal, -1.0)]}), script({PROMPT: [((6, 0), -1.0)]})
    rater = values({})
    result = guided(draft_verify(PROMPT, space, Drafting()), policy, rater, draft=draft)
    assert [one.ids for one in result.responses] == [(6, 0)]
    assert rater.calls == []


@pytest.mark.parametrize("written", [(3, 2), (3,) * 12], ids=["edit", "length"])
def test_a_step_of_the_model_that_does_not_end_is_no_answer(space, script, values, guided, written):
    """The search ends with what it spent and without an answer."""
    draft, policy = script({PROMPT: [((7, 1), -1.0)]}), script({PROMPT: [(written, -1.0)]})
    result = guided(draft_verify(PROMPT, space, Drafting()), policy, values(TABLE), draft=draft)
    assert result.responses == []
    assert result.cost.tokens == len(written)


@pytest.mark.parametrize("bad", [{"n": 0}, {"accept": -0.1}, {"accept": 1.1}], ids=str)
def test_bad_plans(bad):
    """A number out of range."""
    with pytest.raises(SettingsError, match="Give"):
        Drafting(**bad)
