"""Whatever is injected or aligned, the trace collapses to the reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditKind, EditVocab, collapse, resolve_row
from halluc_plugin.errors import EditVocabError, TraceError
from halluc_plugin.traces import align_steps, align_tokens, inject, random_spans, restart

DELIMITER, EOS, BACKTRACK, STEP, RESTART = 0, 9, 10, 11, 12
FULL = EditVocab(backtrack=BACKTRACK, step=STEP, step_delimiters=frozenset({DELIMITER}), restart=RESTART)
SMALL = EditVocab(backtrack=BACKTRACK)

bodies = st.lists(st.integers(0, 5), max_size=12)
references = st.builds(lambda body, end: body + end, bodies, st.sampled_from([[], [EOS]]))
samples = st.builds(lambda body, tail: body + tail, bodies, st.sampled_from([[], [EOS], [EOS, 3, 4]]))
edits = st.sampled_from([EditKind.BACKTRACK, EditKind.STEP, EditKind.RESTART])


def is_error(reference, position, span):
    """Whether the reference goes on differently."""
    return list(span) != [i for i in reference if i != EOS][position : position + len(span)]


@given(
    references,
    st.dictionaries(st.integers(0, 12), st.lists(st.integers(0, 6), min_size=1, max_size=4)),
    edits,
)
def test_injected_traces_collapse_to_the_reference(reference, spans, edit):
    """Any errors at any positions are fully taken back, in all three ways of deleting."""
    spans = {p: span for p, span in spans.items() if is_error(reference, p, span)}
    trace = inject(reference, spans.get, FULL, eos_ids={EOS}, edit=edit)
    assert collapse(trace.ids, FULL) == reference


@given(references, st.dictionaries(st.integers(0, 12), st.lists(st.integers(1, 6), min_size=1, max_size=4)))
def test_exactly_the_errors_are_erased(reference, spans):
    """What resolves to erased are the injected tokens and no others, by tokens and by steps."""
    spans = {p: span for p, span in spans.items() if p <= len(reference) and is_error(reference, p, span)}
    for edit in (EditKind.BACKTRACK, EditKind.STEP):
        written = []

        def propose(position, written=written):
            written += spans.get(position, [])
            return spans.get(position)

        trace = resolve_row(inject(reference, propose, FULL, eos_ids={EOS}, edit=edit).ids, FULL)
        assert trace.ids[trace.erased].tolist() == written
        assert not trace.noop.any()


@given(references, st.integers(0, 2**32 - 1), st.floats(0, 1), edits)
def test_random_injection_collapses_to_the_reference(reference, seed, rate, edit):
    """Random tokens at any rate are fully taken back, and a seed determines the trace."""

    def build():
        spans = random_spans(
            reference,
            FULL,
            eos_ids={EOS},
            pool=range(13),
            rate=rate,
            lengths={1: 1, 3: 2},
            rng=np.random.default_rng(seed),
        )
        return inject(reference, spans, FULL, eos_ids={EOS}, edit=edit)

    assert collapse(build().ids, FULL) == reference
    assert build() == build()


@given(references, samples)
def test_aligned_samples_collapse_to_the_reference(reference, sample):
    """Whatever the model sampled, its alignment ends up as the reference, by tokens and by steps."""
    assert collapse(align_tokens(reference, sample, SMALL, eos_ids={EOS}).ids, SMALL) == reference
    assert collapse(align_steps(reference, sample, FULL, eos_ids={EOS}).ids, FULL) == reference


@given(references, samples)
def test_nothing_is_written_after_an_end_of_sequence(reference, sample):
    """EOS is the last token of a trace or absent: one that is wrong cannot be taken back."""
    for trace in (
        align_tokens(reference, sample, SMALL, eos_ids={EOS}),
        align_steps(reference, sample, FULL, eos_ids={EOS}),
    ):
        assert EOS not in trace.ids[:-1]


@given(bodies, bodies)
def test_token_alignment_follows_the_sample(reference, sample):
    """Without its edits and what only the reference has, the trace is the sample in its order."""
    trace = align_tokens(reference, sample, SMALL, eos_ids={EOS})
    text = iter(i for i in trace.ids if i != BACKTRACK)
    assert all(token in text for token in sample)


@given(references, st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_restart_collapses_to_the_reference(reference, attempt):
    """A failed attempt, one restart, and the reference in full."""
    if not is_error(reference, 0, attempt):
        return
    trace = restart(reference, [*attempt, EOS, 4], FULL, eos_ids={EOS})
    assert list(trace.ids) == [*attempt, RESTART, *reference]
    assert collapse(trace.ids, FULL) == reference


def test_errors_are_written_where_they_were_proposed():
    """A span of two at position 1 and one at the tail stand before the token and before EOS."""
    trace = inject([1, 2, EOS], {1: (5, 6), 2: (3,)}.get, SMALL, eos_ids={EOS})
    assert trace.ids == (1, 5, 6, BACKTRACK, BACKTRACK, 2, 3, BACKTRACK, EOS)


def test_one_place_may_go_wrong_several_times():
    """With repeat, a position is asked until it has no more errors: each is taken back before the next."""
    waiting = {1: [(5,), (6, 7)]}

    def propose(position):
        return waiting[position].pop(0) if waiting.get(position) else None

    trace = inject([1, 2, EOS], propose, SMALL, eos_ids={EOS}, repeat=True)
    assert trace.ids == (1, 5, BACKTRACK, 6, 7, BACKTRACK, BACKTRACK, 2, EOS)


def test_a_wrong_step_takes_one_step_backtrack():
    """A step is proposed only at the start of a step; two wrong steps in a row take two edits."""
    asked = []

    def propose(position):
        asked.append(position)
        return {0: (4, 4, DELIMITER), 3: (5, DELIMITER, 5, DELIMITER)}.get(position)

    trace = inject([1, 2, DELIMITER, 3, DELIMITER, EOS], propose, FULL, eos_ids={EOS}, edit=EditKind.STEP)
    assert trace.ids == (4, 4, 0, STEP, 1, 2, 0, 5, 0, 5, 0, STEP, STEP, 3, 0, EOS)
    assert asked == [0, 3, 5]


def test_a_restart_rewrites_what_stood_before_the_error():
    """After a restart in mid-answer the reference begins again."""
    trace = inject([1, 2, 3], {2: (7,)}.get, FULL, eos_ids=(), edit=EditKind.RESTART)
    assert trace.ids == (1, 2, 7, RESTART, 1, 2, 3)


def test_token_alignment_by_hand():
    """Unmatched sample spans are taken back, omissions are filled in, extra text goes before EOS."""
    trace = align_tokens([1, 2, 3, 4, EOS], [1, 7, 8, 3, 4, 6, EOS], SMALL, eos_ids={EOS})
    assert trace.ids == (1, 7, 8, BACKTRACK, BACKTRACK, 2, 3, 4, 6, BACKTRACK, EOS)
    assert align_tokens([1, 2, 3], [1, 3], SMALL, eos_ids=()).ids == (1, 2, 3)


def test_step_alignment_by_hand():
    """A step that differs in one token is finished, taken back whole, and written right."""
    trace = align_steps([1, 2, 0, 3, 0, EOS], [1, 5, 0, 3, 0, EOS], FULL, eos_ids={EOS})
    assert trace.ids == (1, 5, 0, STEP, 1, 2, 0, 3, 0, EOS)


def test_random_spans_never_begin_with_the_right_token():
    """At rate 1 every position gets a span whose first token differs from the reference's."""
    reference = [1, 2, 1, 2, EOS]
    for seed in range(20):
        spans = random_spans(
            reference,
            SMALL,
            eos_ids={EOS},
            pool=[1, 2, EOS, BACKTRACK],
            rate=1.0,
            lengths={2: 1.0},
            rng=np.random.default_rng(seed),
        )
        proposed = [spans(position) for position in range(5)]
        assert all(len(span) == 2 and set(span) <= {1, 2} for span in proposed)
        assert [span[0] for span in proposed[:4]] == [2, 1, 2, 1]


def test_random_spans_keep_rate_and_lengths():
    """Of 20 000 positions a quarter get a span, three in four of them the length of weight 3."""
    reference = [1] * 20_000
    spans = random_spans(
        reference,
        SMALL,
        eos_ids=(),
        pool=[1, 2, 3],
        rate=0.25,
        lengths={1: 1, 4: 3},
        rng=np.random.default_rng(0),
    )
    drawn = [span for span in map(spans, range(20_000)) if span is not None]
    # Four standard deviations: 0.012 of the rate, 0.025 of the share.
    assert len(drawn) / 20_000 == pytest.approx(0.25, abs=0.012)
    assert sum(len(span) == 4 for span in drawn) / len(drawn) == pytest.approx(0.75, abs=0.025)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (
            lambda: inject([1, BACKTRACK], {}.get, SMALL, eos_ids=()),
            TraceError,
            "reference holds the edit token 10",
        ),
        (
            lambda: inject([1, EOS, 2], {}.get, SMALL, eos_ids={EOS}),
            TraceError,
            "goes on after an end-of-sequence",
        ),
        (
            lambda: inject([1], {0: [EOS]}.get, SMALL, eos_ids={EOS}),
            TraceError,
            "error holds an end-of-sequence",
        ),
        (
            lambda: inject([1], {0: [BACKTRACK]}.get, SMALL, eos_ids=()),
            TraceError,
            "error holds the edit token",
        ),
        (lambda: inject([1, 2], {0: [1]}.get, SMALL, eos_ids=()), TraceError, "is no error"),
        (lambda: inject([1], {1: []}.get, SMALL, eos_ids=()), TraceError, "is no error"),
        (lambda: restart([1], [EOS], FULL, eos_ids={EOS}), TraceError, "is no error"),
        (lambda: restart([1], [2], SMALL, eos_ids=()), EditVocabError, "No token for RESTART"),
        (
            lambda: align_tokens([1], [2, BACKTRACK], SMALL, eos_ids=()),
            TraceError,
            "sample holds the edit token",
        ),
        (lambda: align_steps([1], [2], SMALL, eos_ids=()), EditVocabError, "No token for STEP"),
    ],
)
def test_inputs_that_cannot_give_an_exact_trace_are_refused(build, error, message):
    """The message names what is wrong with the reference, the sample, the error or the vocabulary."""
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pool": [1, 1, EOS, BACKTRACK]}, "1 ids in the pool"),
        ({"rate": 1.5}, "error rate is 1.5"),
        ({"lengths": {0: 1.0}}, "Span lengths"),
        ({"lengths": {}}, "Span lengths"),
        ({"lengths": {1: 0.0}}, "Span lengths"),
    ],
)
def test_random_spans_refuse_impossible_settings(changed, message):
    """A pool without choice, a rate that is no probability and lengths without weight are refused."""
    settings = {"pool": [1, 2], "rate": 0.5, "lengths": {1: 1.0}} | changed
    with pytest.raises(TraceError, match=message):
        random_spans([1], SMALL, eos_ids={EOS}, rng=np.random.default_rng(0), **settings)
