"""Searches that want values of steps: asked together, paid for apart."""

import math

import pytest
import torch

from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.rating import Spent, ToRate
from halluc_plugin.sampling.states import End, Request, Sample, Writer
from halluc_plugin.scorers.steps import StepScores

STOP = frozenset({0})


class Ones:
    """Writes a 1 and EOS, whatever it is asked."""

    def sample(self, requests):
        """The same for all."""
        return [Sample((1, 0), (-1.0, -1.0), End.EOS) for _ in requests]


class Lengths:
    """Rates a step by its length, in tenths, the bare prompt by 0; and remembers what it was asked."""

    def __init__(self):
        self.calls = []

    def rate(self, prompts, steps):
        """Padded as a scorer pads; each response costs one scorer token more than the one before."""
        self.calls.append((list(prompts), list(steps)))
        rows = [torch.tensor([0.0, *(len(step) / 10 for step in response)]) for response in steps]
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=math.nan)
        return StepScores(padded, [Spent(scorer_tokens=i + 1, flops=10) for i in range(len(steps))])


def search(prompt, *asked):
    """Wants each list in turn, and finds what it was given."""
    given = {}
    for number, wants in enumerate(asked):
        given[number] = yield wants
    seen.append((prompt, list(given.values())))
    return []


seen = []


@pytest.fixture(autouse=True)
def _forget():
    seen.clear()


def test_all_ratings_of_a_round_are_one_call():
    """Two searches, one of which wants a sample beside: both get theirs, in order, and pay for theirs."""
    one, other = ToRate((9,), ((1, 1), (0,))), ToRate((8,), ((1,),))
    sample = Request((8,), 4, 1.0, STOP)
    rater = Lengths()
    found = run([search("a", [one]), search("b", [sample, other])], [(9,), (8,)], Ones(), rater=rater)
    assert rater.calls == [([(9,), (8,)], [one.steps, other.steps])]
    values = dict(seen)
    assert values["a"][0][0].values == pytest.approx((0.0, 0.2, 0.1))
    assert values["b"][0][0].ids == (1, 0)
    assert values["b"][0][1].values == pytest.approx((0.0, 0.1))
    assert [one.cost.rated for one in found] == [Spent(0, 1, 10), Spent(0, 2, 10)]
    assert [one.cost.tokens for one in found] == [0, 2]


def test_a_response_is_rated_once_for_a_search():
    """Twice in a round and again in the next: the rater is asked once, and the search pays once."""
    want, rater = ToRate((9,), ((1, 0),)), Lengths()
    (result,) = run([search("a", [want, want], [want])], [(9,)], Ones(), rater=rater)
    assert len(rater.calls) == 1
    assert len(rater.calls[0][1]) == 1
    assert result.cost.rated == Spent(0, 1, 10)
    first, again = seen[0][1]
    assert [one.spent.scorer_tokens for one in (*first, *again)] == [1, 0, 0]
    assert {one.values for one in (*first, *again)} == {first[0].values}


def test_each_model_pays_for_what_it_has_not_computed():
    """The policy computes its prompt and samples; the corrector computes prompt and samples of both anew."""
    policy = Request((9,), 4, 1.0, STOP)
    corrector = Request((9, 1), 4, 1.0, STOP, writer=Writer.CORRECTOR)
    behind = Request((9, 1, 1), 4, 1.0, STOP)
    (result,) = run([search("a", [policy], [corrector], [behind])], [(9,)], Ones(), corrector=Ones())
    assert (result.cost.tokens, result.cost.slots) == (4, 1 + 2 + 1 + 2)
    assert (result.corrected.tokens, result.corrected.slots) == (2, 2 + 2)


def test_a_draft_model_pays_for_itself():
    """It computes the prompt and its step; what the policy computes is counted apart."""
    policy = Request((9,), 4, 1.0, STOP)
    draft = Request((9, 1), 4, 1.0, STOP, writer=Writer.DRAFT)
    (result,) = run([search("a", [draft], [policy])], [(9,)], Ones(), draft=Ones())
    assert (result.cost.tokens, result.cost.slots) == (2, 1 + 2)
    assert (result.drafted.tokens, result.drafted.slots) == (2, 2 + 2)
    assert result.corrected.tokens == 0


@pytest.mark.parametrize(
    ("want", "said"),
    [
        (Request((9,), 4, 1.0, STOP, writer=Writer.DRAFT), "asks the draft"),
        (ToRate((9,), ((1,),)), "nothing rates"),
        (Request((9,), 4, 1.0, STOP, writer=Writer.CORRECTOR), "asks the corrector"),
    ],
)
def test_what_nobody_can_answer_is_refused(want, said):
    """One line, and no search waits for ever."""
    with pytest.raises(SettingsError, match=said):
        run([search("a", [want])], [(9,)], Ones())


def test_values_that_are_none_are_refused():
    """Outside [0, 1] they are no chances, and NaN is none."""

    class Bad(Lengths):
        def rate(self, prompts, steps):
            return StepScores(torch.full((1, 2), self.value), [Spent()])

    for value in (1.5, -0.1, math.nan):
        rater = Bad()
        rater.value = value
        with pytest.raises(TraceError, match="A scorer gave"):
            run([search("a", [ToRate((9,), ((1,),))])], [(9,)], Ones(), rater=rater)


def test_a_search_that_wants_nothing_goes_on():
    """An empty list is answered by an empty list."""
    (result,) = run([search("a", [], [])], [(9,)], Ones())
    assert (result.responses, seen[0][1]) == ([], [[], []])
