"""Every event metric equals a slow second implementation that replays the stack and asks at each state."""

import zlib
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.metrics import (
    Localisation,
    accuracy_at_budget,
    erased_steps,
    erased_tokens,
    event_precision,
    event_recall,
    judge_ids,
    latency,
    localisation,
    next_token_ok,
    repeat_rate,
    stutter_rate,
    success_after_backtrack,
)

DELIMITERS = frozenset({0})
VOCAB = EditVocab(backtrack=5, step=6, step_delimiters=DELIMITERS, restart=7)
rows = st.lists(
    st.lists(st.sampled_from([0, 1, 2, 5, 5, 6, 7, 1, 2]), max_size=18), min_size=1, max_size=3
)  # weights: more text and backtracks than steps and restarts


def noisy(salt):
    """A fixed arbitrary verdict for each prefix, two in three good; longer prefixes may be good again."""
    return lambda live: zlib.crc32(bytes([salt, *live])) % 3 > 0


def monotone(salt):
    """As `noisy`, but bad for good: an oracle as defined."""
    verdict = noisy(salt)
    return lambda live: all(verdict(live[:end]) for end in range(len(live) + 1))


oracles = st.builds(lambda make, salt: make(salt), st.sampled_from([noisy, monotone]), st.integers(0, 255))


class Replay:
    """States as plain lists of ids and of indices, before each action and after the last."""

    def __init__(self, trace, ok):
        state = EditState(VOCAB)
        self.trace, self.ids, self.indices = trace, [[]], [[]]
        for token in trace:
            state.push(token)
            self.ids.append(list(state.live_ids))
            self.indices.append(list(state.live_indices))
        self.ok = [ok(live) for live in self.ids]
        self.judge = ok
        runs = groupby(range(len(trace)), key=lambda t: trace[t] >= 5)
        self.events = [(run[0], run[-1] + 1) for run in (list(r) for edits, r in runs if edits)]

    def text(self, t):
        """Whether action t exists and writes."""
        return t < len(self.trace) and self.trace[t] < 5

    def first_bad_depth(self, live):
        """Position of the first live token whose prefix is bad, None without one."""
        bad = [end for end in range(1, len(live) + 1) if not self.judge(live[:end])]
        if live and not self.judge([]):
            return 0
        return bad[0] - 1 if bad else None

    def right_events(self):
        """Events that left a bad, non-empty state."""
        return [(s, e) for s, e in self.events if not self.ok[s] and self.ids[s]]


def tally(pairs):
    """(hits, trials) of an iterable of booleans."""
    outcomes = list(pairs)
    return sum(outcomes), len(outcomes)


def counts(share):
    """(hits, trials) of a proportion."""
    return (round(share.value * share.n), share.n) if share.n else (0, 0)


def replayed_recall(replays):
    """For each episode, whether an event ended it."""
    for r in replays:
        inside = not r.ok[0]
        t = 0
        while t < len(r.trace):
            end = next((e for s, e in r.events if s == t), t + 1)
            if inside and r.ok[end]:
                yield not r.text(t)
            inside, t = not r.ok[end], end
        if inside:
            yield False


def replayed_steps(r):
    """(is bad, is erased) of each written step."""
    step = []
    for t, token in enumerate(r.trace):
        if r.text(t):
            step.append(t)
        if step and (not r.text(t + 1) or token in DELIMITERS):
            bad = [u for u in step if r.first_bad_depth(r.ids[u + 1]) is not None]
            yield bool(bad), (bad[0] if bad else step[-1]) not in r.indices[-1]
            step = []


@given(rows, oracles)
def test_all_metrics_equal_the_replay(traces, oracle):
    """Precision, recall, localisation, erased shares, retries and latency, on the full grammar."""
    judged = judge_ids(traces, VOCAB, [oracle] * len(traces))
    replays = [Replay(trace, oracle) for trace in traces]
    events = [(r, s, e) for r in replays for s, e in r.events]

    assert counts(event_precision(judged)) == tally(not r.ok[s] for r, s, e in events)
    assert counts(event_recall(judged)) == tally(replayed_recall(replays))
    assert counts(next_token_ok(judged)) == tally(r.ok[e + 1] for r, s, e in events if r.text(e))
    assert counts(repeat_rate(judged)) == tally(
        r.trace[e] == r.ids[s][len(r.ids[e])]
        for r, s, e in events
        if r.text(e) and len(r.ids[e]) < len(r.ids[s])
    )
    assert counts(stutter_rate(judged, 2)) == tally(
        any(0 < s - other <= 2 for _, other in r.events) for r, s, e in events
    )

    successes = []
    for r, _, e in events:
        text = [t for t in range(e, len(r.trace)) if r.text(t)]
        closed = [t for t in text if r.trace[t] in DELIMITERS]
        successes += [r.ok[closed[0] + 1] if closed else r.ok[-1]] if text else []
    assert counts(success_after_backtrack(judged, DELIMITERS)) == tally(successes)

    right = [
        (len(r.ids[s]), len(r.ids[e]), r.first_bad_depth(r.ids[s]))
        for r in replays
        for s, e in r.right_events()
    ]
    aims = localisation(judged)
    assert counts(aims.shares[Localisation.UNDER]) == tally(after > bad for _, after, bad in right)
    assert counts(aims.shares[Localisation.EXACT]) == tally(after == bad for _, after, bad in right)
    assert counts(aims.shares[Localisation.OVER]) == tally(after < bad for _, after, bad in right)
    hit = sum(len(set(range(after, n)) & set(range(bad, n))) for n, after, bad in right)
    assert counts(aims.token_precision) == (hit, sum(n - after for n, after, _ in right))
    assert counts(aims.token_recall) == (hit, sum(n - bad for n, _, bad in right))

    waits = [s - r.indices[s][r.first_bad_depth(r.ids[s])] - 1 for r in replays for s, _ in r.right_events()]
    assert latency(judged).n == len(waits)
    assert not waits or latency(judged).value == pytest.approx(sum(waits) / len(waits))

    written = [
        (r.first_bad_depth(r.ids[t + 1]) is not None, t not in r.indices[-1])
        for r in replays
        for t in range(len(r.trace))
        if r.text(t)
    ]
    steps = [step for r in replays for step in replayed_steps(r)]
    for shares, expected in ((erased_tokens(judged), written), (erased_steps(judged, DELIMITERS), steps)):
        assert counts(shares.bad) == tally(gone for bad, gone in expected if bad)
        assert counts(shares.good) == tally(gone for bad, gone in expected if not bad)

    for budget in (0, 3, 50):
        assert counts(accuracy_at_budget(judged, budget)) == tally(
            r.ok[min(budget, len(r.trace))] for r in replays
        )


@given(rows)
def test_no_live_prefix_is_judged_twice(traces):
    """Over all metrics together the oracle sees each live prefix of a row once, and nothing else."""
    asked = [[] for _ in traces]

    def recorder(row):
        def oracle(live):
            asked[row].append(tuple(live))
            return noisy(0)(live)

        return oracle

    judged = judge_ids(traces, VOCAB, [recorder(row) for row in range(len(traces))])
    for metric in (event_precision, event_recall, localisation, latency, erased_tokens, next_token_ok):
        metric(judged)
    success_after_backtrack(judged, DELIMITERS)
    erased_steps(judged, DELIMITERS)
    for trace, prefixes in zip(traces, asked, strict=True):
        visited = {tuple(live) for live in Replay(trace, noisy(0)).ids}
        assert len(prefixes) == len(set(prefixes))
        assert set(prefixes) <= visited


def test_the_oracle_is_asked_only_where_a_metric_needs_it():
    """Precision judges the states before events; repeat and stutter rates judge nothing."""
    asked = []

    def oracle(live):
        asked.append(list(live))
        return True

    judged = judge_ids([[1, 2, 2, 5, 1, 1, 1, 5, 1]], VOCAB, [oracle])
    repeat_rate(judged)
    stutter_rate(judged, 1)
    assert asked == []
    event_precision(judged)
    assert asked == [[1, 2, 2], [1, 2, 1, 1, 1]]


@given(rows)
def test_rewriting_the_same_tokens_costs_no_second_verdict(traces):
    """States are told apart by their live ids, not by when they were written."""
    calls = []
    twice = [trace + [7] + [t for t in trace if t < 5] for trace in traces]
    judged = judge_ids(twice, VOCAB, [lambda live: bool(calls.append(tuple(live))) or True] * len(twice))
    for trace in judged:
        calls.clear()
        for column in trace.text():
            trace.ok(column)
        assert len(calls) == len(set(calls))
