"""Rates, retries, votes and signals from records by hand."""

import pytest

from halluc_plugin.edits import Context
from halluc_plugin.errors import TokenizerError
from halluc_plugin.jobs.assess.measures import measure
from halluc_plugin.jobs.assess.predictions import proposal_of
from halluc_plugin.jobs.assess.records import (
    AnswerRecord,
    PlaceRecord,
    ProblemRecord,
    RetryRecord,
    StepRecord,
)
from halluc_plugin.jobs.assess.signals import signals_of
from halluc_plugin.jobs.assess.steps import Cutter
from halluc_plugin.sampling.states import Space
from halluc_plugin.theory.proposals import Distinct, Mixed, Tried
from halluc_plugin.theory.search_law import Unit
from halluc_plugin.tokens import vocab_of
from halluc_plugin.verifiers import StepKind

LIVE = StepRecord(StepKind.LIVE, seen=False, tokens=4, branches=(3, 1))
SLIP = StepRecord(StepKind.SLIP, seen=True, tokens=2, branches=(3, 1))
DEAD = StepRecord(StepKind.DEAD, seen=False, tokens=4, branches=(1, 1))
BEHIND = StepRecord(StepKind.DEAD, seen=True, tokens=6)


def answer(*steps, right=False, vote="x"):
    """An answer of these steps."""
    return AnswerRecord(right, ended=True, comes_to=vote, vote_right=right, tokens=9, steps=steps)


RECORDS = [
    ProblemRecord(
        5,
        [answer(LIVE, LIVE, right=True, vote="y"), answer(LIVE, DEAD)],
        [RetryRecord(2, live=True, right=True)],
        [],
    ),
    ProblemRecord(7, [answer(SLIP), answer(DEAD, BEHIND)], [RetryRecord(1, live=False, right=False)] * 3, []),
]


def test_rates_by_hand():
    """Of four first steps one slips and one is a dead end; of two second ones from live text one is dead."""
    found = measure(RECORDS)
    first, second = found.steps
    assert (first.slip.value, first.dead.value) == (0.25, 0.25)
    assert (second.slip.value, second.dead.value, second.dead.n) == (0, 0.5, 2)
    assert first.seen.value == 0.5  # the slip shows, the dead end does not
    assert second.seen.value == 0.5
    assert (first.retry.value, second.retry.value) == (0, 1)
    assert second.tokens == pytest.approx((4 + 4 + 6) / 3)
    assert first.dead_branches == pytest.approx((3 + 3 + 3 + 1) / 4)
    assert found.accuracy.value == 0.25
    assert found.pass_at[2].value == 0.5
    assert found.majority_at[2].value == pytest.approx(0.25)
    assert (found.prompt_tokens, found.tokens, found.told_apart) == (6, 9, True)


def test_what_is_remembered_follows_the_context():
    """Soft context counts branches, hard context and restarts of several steps mix states."""
    found = measure(RECORDS)
    soft = proposal_of(found, Context.SOFT, Unit.STEP)
    assert isinstance(soft, Distinct)
    for depth, step in enumerate(found.steps, 1):
        chances = soft.chances(depth, Tried(), alive=True)
        assert chances[StepKind.DEAD] == pytest.approx(step.dead.value)
    for context, unit in ((Context.HARD, Unit.STEP), (Context.SOFT, Unit.RESTART)):
        assert isinstance(proposal_of(found, context, unit), Mixed)


def places(tells):
    """Of 40 problems, a dead and a live place each; ``tells`` says what the signal is."""
    records = []
    for n in range(40):
        told = [(dead, {"likelihood": tells(dead, n)}, [float(dead), float(n % 5)]) for dead in (True, False)]
        records.append(ProblemRecord(1, [], [], [PlaceRecord(1, *each) for each in told]))
    return records


def test_a_signal_that_tells_and_one_that_does_not():
    """AUC and D on the problems of odd number; the probe finds the planted feature either way."""
    telling = signals_of(places(lambda dead, n: dead + 0.01 * n), 1, edits=False, verdicts=True)
    assert telling.measured["likelihood"].ranked.auc.value == 1
    assert telling.measured["likelihood"].cut.difference.value == 1
    assert telling.measured["likelihood"].recall == [1.0]
    silent = signals_of(places(lambda dead, n: float(n)), 1, edits=False, verdicts=True)
    assert silent.measured["likelihood"].ranked.auc.value == pytest.approx(0.5)
    assert silent.best.name == "probe"
    assert silent.best.cut.difference.value == 1
    assert silent.missing == {"edit": "the tokenizer has no backtrack token"}


def test_an_edit_is_chosen_by_how_often_it_is_made():
    """A probability of an edit that ranks all places, at 1 % and 2 %, tells less than the planted feature."""
    records = places(lambda dead, n: float(n))
    for record in records:
        for place in record.places:
            place.signals["edit"] = 0.02 if place.dead else 0.01
    found = signals_of(records, 1, edits=True, verdicts=True)
    assert found.measured["edit"].ranked.auc.value == 1
    assert found.measured["edit"].chosen_by == pytest.approx(0.01)
    assert found.best.name == "probe"


def test_few_places_say_nothing():
    """Which is said of each signal."""
    found = signals_of(places(lambda dead, n: 1.0)[:6], 1, edits=True, verdicts=True)
    assert found.best is None
    assert all("10 are needed" in reason for reason in found.missing.values())


def test_a_token_that_cuts_a_step_in_two_is_refused(tokenizer):
    """Its text goes on behind the delimiter; a step that is not finished is none until the answer ends."""
    tokenizer.get_vocab()
    space = Space(vocab_of(tokenizer), frozenset({1}), frozenset(tokenizer.encode("\n")), 9)
    cutter = Cutter(tokenizer, space, "\n")
    ids = tokenizer.encode("AB\nC")
    assert cutter.spans(ids, ended=False) == [(0, 3)]
    assert cutter.spans(ids, ended=True) == [(0, 3), (3, 4)]
    assert cutter.lines(ids, [(0, 3), (3, 4)]) == ["AB", "C"]
    between = Cutter(tokenizer, space, "-")
    with pytest.raises(TokenizerError, match="cuts a step in two"):
        Cutter(tokenizer, space, " ").spans(tokenizer.encode("1 -> 2"), ended=True)
    assert between.spans(ids, ended=False) == [(0, 3)]
