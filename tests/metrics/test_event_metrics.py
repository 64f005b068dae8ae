"""Event metrics on traces small enough to work out by hand.

Digits are text, "." ends a step, "<" is the backtrack token, "|" the step backtrack, "!" the restart. The
reference of every problem is 1234567...: a prefix is ok when it follows that order.
"""

import math

import pytest
import torch

from halluc_plugin.edits import EditVocab, resolve
from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import (
    Localisation,
    accuracy_at_budget,
    erased_steps,
    erased_tokens,
    event_precision,
    event_recall,
    judge_ids,
    judge_traces,
    latency,
    localisation,
    next_token_ok,
    repeat_rate,
    specificity,
    stutter_rate,
    success_after_backtrack,
    summarise_events,
    token_efficiency,
    tokens_per_solve,
)

DOT = 10
SYMBOLS = {".": DOT, "<": 11, "|": 12, "!": 13}
VOCAB = EditVocab(backtrack=11, step=12, step_delimiters=frozenset({DOT}), restart=13)


def ids(text):
    """Ids of a trace in the notation above."""
    return [SYMBOLS[c] if c in SYMBOLS else int(c) for c in text]


def ascending(live):
    """The oracle: digits count up from 1, dots may stand anywhere."""
    digits = [i for i in live if i != DOT]
    return digits == list(range(1, len(digits) + 1))


def traces(*texts, oracle=ascending):
    """Judged traces of several responses."""
    return judge_ids([ids(text) for text in texts], VOCAB, [oracle] * len(texts))


def counts(share):
    """Numerator and denominator."""
    return round(share.value * share.n) if share.n else 0, share.n


def test_precision_is_the_share_of_events_that_left_a_bad_state():
    """129<< leaves a bad state, 12<2 a good one, and an edit at the boundary had nothing to take back."""
    assert counts(event_precision(traces("129<<2", "12<2", "<1"))) == (1, 3)


def test_a_run_of_edits_is_one_event():
    """Mixed edits without text between them count once."""
    assert counts(event_precision(traces("1.9<|!1"))) == (1, 1)


def test_recall_counts_episodes_that_an_event_ended():
    """One bad stretch is recovered in two events, one is left at the end of each of two traces."""
    assert counts(event_recall(traces("199<<2", "199<7<<2", "19", "19<2.8"))) == (3, 5)


def test_an_event_that_stays_bad_does_not_end_an_episode():
    """198< leaves 19, still bad, and the trace ends there."""
    assert counts(event_recall(traces("198<"))) == (0, 1)


def test_a_problem_without_a_way_out_is_one_episode():
    """When even the empty response is bad, the whole trace is one episode, and its first token is bad."""
    hopeless = traces("1<2", oracle=lambda live: False)
    assert counts(event_recall(hopeless)) == (0, 1)
    assert counts(erased_tokens(hopeless).bad) == (1, 2)
    assert counts(localisation(hopeless).shares[Localisation.EXACT]) == (1, 1)


def test_an_episode_that_text_ends_is_not_recovered():
    """A noisy oracle may call a longer prefix good again; no event gets the credit."""
    noisy = traces("123", oracle=lambda live: len(live) != 2)
    assert counts(event_recall(noisy)) == (0, 1)


def test_localisation_by_hand():
    """In 1299 the first bad token is the first 9: < is under, << exact, <<< over."""
    result = localisation(traces("1299<", "1299<<", "1299<<<", "12<"))
    assert {kind.value: counts(share) for kind, share in result.shares.items()} == {
        "under": (1, 3),
        "exact": (1, 3),
        "over": (1, 3),
    }
    # D is 1, 2, 3 tokens, E is 2 each time, and D∩E is 1, 2, 2.
    assert counts(result.token_precision) == (5, 6)
    assert counts(result.token_recall) == (5, 6)


def test_localisation_of_step_and_restart():
    """A step backtrack deletes the bad step exactly, a restart goes back too far."""
    result = localisation(traces("12.99.|", "12.39!"))
    assert counts(result.shares[Localisation.EXACT]) == (1, 2)
    assert counts(result.shares[Localisation.OVER]) == (1, 2)
    assert counts(result.token_precision) == (3 + 1, 3 + 5)


def test_erased_tokens_side_by_side():
    """In 129<<23 one bad token of one and one good token of four are erased."""
    shares = erased_tokens(traces("129<<23"))
    assert (counts(shares.bad), counts(shares.good)) == ((1, 1), (1, 4))
    assert shares.base_rate == pytest.approx(1 / 5)


def test_specificity_is_the_share_of_good_tokens_kept():
    """Three of four good tokens are kept in 129<<23."""
    result = specificity(traces("129<<23"))
    assert (result.value, result.n) == (0.75, 4)


def test_precision_alone_misleads_where_most_is_bad():
    """Erasing at random among 9 bad tokens in 10 has precision near 90 %; the shares show no skill."""
    rows = ["1" + "9" * 9 + "<" * n for n in range(1, 11)]
    assert event_precision(traces(*rows)).value == 1.0
    shares = erased_tokens(traces(*rows))
    assert shares.base_rate == pytest.approx(0.9)
    assert (counts(shares.bad), counts(shares.good)) == ((54, 90), (1, 10))


def test_erased_steps_side_by_side():
    """Steps end at a dot, an event or the end: 12. and 3 good and kept, 99. bad and 34 good, both erased."""
    shares = erased_steps(traces("12.99.|34<<3"), {DOT})
    assert (counts(shares.bad), counts(shares.good)) == ((1, 1), (1, 3))


def test_a_bad_step_is_erased_only_with_its_first_bad_token():
    """Deleting the tail of 199 leaves its error in place."""
    assert counts(erased_steps(traces("199<"), {DOT}).bad) == (0, 1)
    assert counts(erased_steps(traces("199<<"), {DOT}).bad) == (1, 1)


def test_nothing_written_has_no_shares():
    """An empty trace and one of edits only give nan over nothing."""
    shares = erased_tokens(traces("", "<<"))
    assert (shares.bad.n, shares.good.n) == (0, 0)
    assert math.isnan(shares.base_rate)


def test_success_judges_the_first_step_finished_after_the_event():
    """A right step, a wrong one, one finished by the end; an event with no text after it is left out."""
    result = success_after_backtrack(traces("9<12.9", "9<19.", "9<12", "9<"), {DOT})
    assert counts(result) == (2, 3)


def test_success_waits_for_the_step_through_further_events():
    """In 9<8<1. both events are followed by the one finished step."""
    assert counts(success_after_backtrack(traces("9<8<1."), {DOT})) == (2, 2)


def test_success_needs_delimiters():
    """Without them there is no step; the next token has a metric of its own."""
    with pytest.raises(MetricError, match="next_token_ok"):
        success_after_backtrack(traces("9<1"), ())
    assert counts(next_token_ok(traces("9<1", "9<8", "9<"))) == (1, 2)


def test_repeats_compare_with_the_first_deleted_token():
    """12<2 repeats, 12<3 does not, 123<<24 repeats; boundary edits and final events are left out."""
    assert counts(repeat_rate(traces("12<2", "12<3", "123<<24", "<1", "12<"))) == (2, 3)


def test_stutter_counts_events_close_to_the_previous_one():
    """Gaps of 1 and 3 tokens: one stutter in three events at kappa 1 and 2, two at kappa 3."""
    rows = traces("12<3<456<7")
    assert [counts(stutter_rate(rows, kappa)) for kappa in (1, 2, 3)] == [(1, 3), (1, 3), (2, 3)]
    with pytest.raises(MetricError, match="kappa is 0"):
        stutter_rate(rows, 0)


def test_latency_counts_raw_tokens_between_error_and_event():
    """9< is caught at once; in 198< and then 7< four more actions pass before the second event."""
    assert (latency(traces("19<")).value, latency(traces("19<")).n) == (0.0, 1)
    result = latency(traces("198<7<"))
    assert (result.value, result.n) == ((1 + 3) / 2, 2)
    assert math.isnan(latency(traces("12<")).value)


def test_token_efficiency_is_a_ratio_of_sums():
    """129<<2 leaves 2 of 6 and 12 leaves all: 4/8 efficient, 4/4 overhead."""
    rows = [ids("129<<2"), ids("12")]
    padded = torch.tensor([row + [0] * (6 - len(row)) for row in rows])
    valid = torch.tensor([[i < len(row) for i in range(6)] for row in rows])
    result = token_efficiency(resolve(padded, valid, VOCAB))
    assert (result.efficiency.value, result.overhead) == (0.5, 1.0)
    assert (result.raw_tokens, result.resolved_tokens) == (8, 4)


def test_tokens_per_solve_charges_failures_too():
    """30 tokens for 2 right answers of 3; no right answer costs infinitely much."""
    result = tokens_per_solve([5, 10, 15], [True, False, True])
    assert (result.value, result.n, result.solved) == (15.0, 3, 2)
    assert tokens_per_solve([5], [False]).value == math.inf
    with pytest.raises(MetricError, match="score of 'wrong'"):
        tokens_per_solve([5], ["wrong"])
    with pytest.raises(MetricError, match="2 lengths, 1 verdicts"):
        tokens_per_solve([5, 5], [True])


def test_accuracy_at_budget_judges_what_the_cut_trace_resolves_to():
    """Of 12 and 19<2 and 12<3, the answer 12 stands after 2, 4, and only at 2 raw tokens."""
    rows = traces("12", "19<2", "12<3", oracle=lambda live: list(live) == [1, 2])
    assert [counts(accuracy_at_budget(rows, b)) for b in (0, 1, 2, 3, 4, 99)] == [
        (0, 3),
        (0, 3),
        (2, 3),
        (1, 3),
        (2, 3),
        (2, 3),
    ]
    with pytest.raises(MetricError, match="budget is -1"):
        accuracy_at_budget(rows, -1)


def test_each_row_needs_its_oracle():
    """Problems differ, so a batch of two rows takes two oracles."""
    with pytest.raises(MetricError, match="1 oracles for 2 rows"):
        judge_ids([[1], [2]], VOCAB, [ascending])


def test_padding_on_either_side_changes_nothing():
    """The same trace padded left and right has the same states, events and latency."""
    trace = ids("198<7<2")
    both = torch.tensor([[0, 0, *trace], [*trace, 0, 0]])
    valid = torch.tensor([[False] * 2 + [True] * 7, [True] * 7 + [False] * 2])
    left, right = judge_traces(resolve(both, valid, VOCAB), [ascending, ascending])
    for metric in (event_precision, event_recall, latency, repeat_rate, erased_tokens, next_token_ok):
        assert metric([left]) == metric([right])
    for budget in range(8):
        assert accuracy_at_budget([left], budget) == accuracy_at_budget([right], budget)


def test_the_summary_holds_every_metric_under_its_name():
    """Each value equals its own function's, and every one has a name for the logger."""
    rows = traces("12.99.|34<<3.", "129<<2.3")
    summary = summarise_events(rows, delimiters={DOT}, kappa=1)
    logged = summary.as_metrics()
    assert logged["event_precision"] == event_precision(rows).value == pytest.approx(2 / 3)
    assert logged["event_recall"] == event_recall(rows).value == 1.0
    assert logged["specificity"] == specificity(rows).value == 1 - logged["good_tokens_erased"]
    assert logged["bad_steps_erased"] == erased_steps(rows, {DOT}).bad.value
    assert logged["localisation/exact"] == localisation(rows).shares[Localisation.EXACT].value
    assert logged["latency"] == latency(rows).value
    assert logged["repeat_rate"] == repeat_rate(rows).value
    assert logged["stutter_rate"] == stutter_rate(rows, 1).value
    assert logged["success_after_backtrack"] == success_after_backtrack(rows, {DOT}).value
    assert len(logged) == 18
