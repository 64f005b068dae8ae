"""The stack, the compiled and the vectorised form give one answer on every input."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import Backend, EditVocab, resolve

BACKTRACK, STEP, RESTART = 5, 6, 7
DELIMITERS = frozenset({0, 4})
FULL = EditVocab(BACKTRACK, step=STEP, step_delimiters=DELIMITERS, restart=RESTART)
VOCABS = [
    EditVocab(BACKTRACK),
    EditVocab(BACKTRACK, restart=RESTART),
    EditVocab(BACKTRACK, step=STEP, step_delimiters=DELIMITERS),
    FULL,
]
GRAMMAR = range(8)  # every id has a role in FULL; without a role it is text
no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((Backend.COMPILED, "cpu"), id="compiled"),
        pytest.param((Backend.VECTORISED, "cpu"), id="vectorised"),
        pytest.param((Backend.VECTORISED, "cuda"), id="vectorised-cuda", marks=no_gpu),
    ],
)
def form(request):
    """One form of ``resolve``, on one device."""
    backend, device = request.param

    def run(batch, vocab):
        return resolve(batch.ids.to(device), batch.valid.to(device), vocab, backend=backend)

    return run


def all_rows(alphabet, longest):
    """Every row over the alphabet up to the given length."""
    return [list(row) for length in range(longest + 1) for row in product(alphabet, repeat=length)]


def test_every_text_and_backtrack_row_to_length_14(form, lay_out):
    """All 32 767 rows of text and backtracks, in one batch, padded on the right and on the left."""
    rows, vocab = all_rows((1, BACKTRACK), 14), EditVocab(BACKTRACK)
    assert len(rows) == 32_767
    for starts in (0, np.array([14 - len(row) for row in rows])):
        batch = lay_out(rows, vocab, starts=starts, padding=BACKTRACK)
        batch.check(form(batch, vocab))


def test_every_row_of_the_full_grammar_to_length_7(form, lay_out):
    """All 97 656 rows of text, delimiter, backtrack, step backtrack and restart, padded on either side."""
    rows = all_rows((1, 0, BACKTRACK, STEP, RESTART), 7)
    assert len(rows) == 97_656
    for starts in (0, np.array([7 - len(row) for row in rows])):
        batch = lay_out(rows, FULL, starts=starts, padding=STEP)
        batch.check(form(batch, FULL))


@pytest.fixture(scope="module")
def random_batches(lay_out):
    """10^5 seeded traces in batches of similar length, each with its vocabulary.

    Lengths are log-uniform from 8 (all shorter rows are enumerated above) to 400, and the last 500 are 400,
    so that a Python oracle is done in seconds. Each trace has token frequencies of its own, from nearly pure
    text to nearly pure edits. Rows lie anywhere in their batch, between arbitrary ids.
    """
    rng = np.random.default_rng(3)
    lengths = np.exp(rng.uniform(np.log(8), np.log(401), size=99_500)).astype(np.int64)
    lengths = np.sort(np.append(lengths, np.full(500, 400)))
    batches, first = [], 0
    while first < len(lengths):
        count = int(np.searchsorted(np.cumsum(lengths[first:]), 200_000)) + 1
        chosen = lengths[first : first + count]
        rows = _random_rows(rng, chosen)
        width = int(chosen[-1]) + 3
        vocab = VOCABS[len(batches) % len(VOCABS)]
        batch = lay_out(
            rows,
            vocab,
            width=width,
            starts=rng.integers(0, width - chosen + 1),
            padding=rng.integers(-100, 8, size=(len(rows), width)),
        )
        batches.append((batch, vocab))
        first += count
    return batches


def _random_rows(rng, lengths):
    chances = rng.dirichlet(np.full(len(GRAMMAR), 0.7), size=len(lengths))
    draws = rng.random((len(lengths), int(lengths.max())))
    ids = np.zeros_like(draws, dtype=np.int64)
    for edge in np.cumsum(chances, 1)[:, :-1].T:
        ids += draws > edge[:, None]
    return [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]


@pytest.mark.slow
def test_a_hundred_thousand_random_traces_to_length_400(form, random_batches):
    """All fields of all traces, for vocabularies with and without step backtrack and restart."""
    assert sum(len(batch.rows) for batch, _ in random_batches) == 100_000
    assert max(len(row) for batch, _ in random_batches for row in batch.rows) == 400
    for batch, vocab in random_batches:
        batch.check(form(batch, vocab))


def test_random_traces_exercise_the_whole_grammar(random_batches):
    """They hold noops, step backtracks over several tokens, restarts, deep stacks and long events."""
    seen = {"noop": 0, "spans": 0, "deepest": 0, "events": 0}
    for batch, vocab in random_batches:
        expected = batch.expected
        seen["noop"] += int(expected["noop"].sum())
        seen["events"] += int(expected["event"].max())
        seen["deepest"] = max(seen["deepest"], int(expected["depth"].max()))
        if vocab.step is not None:
            same = expected["erased_at"][:, 1:] == expected["erased_at"][:, :-1]
            seen["spans"] += int((same & expected["erased"][:, 1:]).sum())
    assert seen["noop"] > 100_000
    assert seen["spans"] > 100_000
    assert seen["events"] > 1000
    assert seen["deepest"] > 300


@st.composite
def layouts(draw):
    """A vocabulary and a few rows of it, anywhere in their batch, between arbitrary ids."""
    rows = draw(st.lists(st.lists(st.sampled_from(GRAMMAR), max_size=20), max_size=4))
    width = max(map(len, rows), default=0) + draw(st.integers(0, 3))
    starts = [draw(st.integers(0, width - len(row))) for row in rows]
    padding = draw(st.sampled_from([-100, -1, *GRAMMAR]))
    vocab = draw(st.sampled_from(VOCABS))
    return vocab, partial(lambda build, **given: build(rows, vocab, **given), width=width,
                          starts=np.array(starts, dtype=np.int64), padding=padding)  # fmt: skip


@given(layouts())
def test_any_layout(form, lay_out, layout):
    """Any rows, in any place, with any ids as padding (hypothesis finds the smallest failure)."""
    vocab, build = layout
    batch = build(lay_out)
    batch.check(form(batch, vocab))


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="no rows"),
        pytest.param([[]], id="no columns"),
        pytest.param([[], []], id="no columns in two rows"),
        pytest.param([[], [1, BACKTRACK], []], id="rows of length 0 among others"),
        pytest.param([[BACKTRACK]], id="one edit"),
        pytest.param([[BACKTRACK, STEP, RESTART, BACKTRACK]], id="nothing but edits"),
        pytest.param([[BACKTRACK, 1, 2, RESTART]], id="edits first and last"),
        pytest.param([[1, 3, BACKTRACK, 3], [1, 3, BACKTRACK, BACKTRACK]], id="EOS erased like any text"),
        pytest.param([[0, 0, STEP, STEP, STEP]], id="steps that are bare delimiters"),
    ],
)
@pytest.mark.parametrize("slack", [0, 2])
def test_edges(form, lay_out, rows, slack):
    """Empty batches and rows, edits at either end, and pads that are edit tokens, on both sides."""
    width = max(map(len, rows), default=0) + slack
    for start in range(slack + 1):
        for padding in (BACKTRACK, RESTART, 0):
            batch = lay_out(rows, FULL, width=width, starts=start, padding=padding)
            batch.check(form(batch, FULL))


def test_a_step_edit_may_depend_on_every_earlier_one(form, lay_out):
    """Chains in which the size of each step backtrack follows from those before it, 100 deep."""
    chain = [1, 0, 2, 3, STEP, 1, BACKTRACK, STEP] * 50
    rows = [chain, [0, 1] * 100 + [STEP] * 100, [0, 1] * 99 + [1, STEP, 0, STEP] * 50]
    batch = lay_out(rows, FULL)
    batch.check(form(batch, FULL))


def test_memory_layout_and_integer_width_do_not_matter(form, lay_out):
    """Views with any strides and int32 ids give the answer of contiguous int64."""
    batch = lay_out([[1, 2, BACKTRACK, 0], [1, STEP, 2, 2]], FULL)
    strided = batch.__class__(
        batch.rows,
        batch.ids.int().repeat_interleave(2, 1)[:, ::2],
        batch.valid.t().contiguous().t(),
        batch.expected,
    )
    assert not strided.ids.is_contiguous()
    batch.check(form(strided, FULL))
