"""Masks, labels, positions and attention, by hand and against the stack."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention

from halluc_plugin.edits import (
    NO_LIMIT,
    Boundary,
    EditState,
    EditVocab,
    ErasedTokens,
    budget_mask,
    flex_mask_mod,
    logit_index,
    position_ids,
    resolve,
    resolve_row,
    response_mask,
    sft_labels,
    tree_attention_mask,
)
from halluc_plugin.errors import TraceError

DOT, B, S, R = 0, 10, 11, 12
FULL = EditVocab(B, step=S, step_delimiters=frozenset({DOT}), restart=R)
T, F = True, False

# Two responses, 1 5 < 2 and < 7 padded on the right, behind two prompts, the first padded on the left.
IDS = torch.tensor([[1, 5, B, 2], [B, 7, B, B]])
VALID = torch.tensor([[T, T, T, T], [T, T, F, F]])
PROMPTS = torch.tensor([[F, T, T], [T, T, T]])


@pytest.fixture
def pair():
    """The two responses, resolved."""
    return resolve(IDS, VALID, FULL)


def test_response_mask(pair):
    """Masked, only the erased 5 and padding are out; kept, only padding is."""
    assert response_mask(pair, ErasedTokens.MASK).tolist() == [[T, F, T, T], [T, T, F, F]]
    assert response_mask(pair, ErasedTokens.KEEP).tolist() == VALID.tolist()
    assert response_mask(pair, ErasedTokens.KEEP) is not pair.valid


def test_sft_labels(pair):
    """The error is out of the loss, the edit and the correction are in, and padding is out."""
    assert sft_labels(pair).tolist() == [[1, -100, B, 2], [B, 7, -100, -100]]
    assert sft_labels(pair, ignore_index=-1).tolist() == [[1, -1, B, 2], [B, 7, -1, -1]]


def test_position_ids(pair):
    """The correction stands where the error stood; an action's position is prompt length plus depth."""
    assert position_ids(pair, PROMPTS).tolist() == [[0, 0, 1, 2, 3, 4, 3], [0, 1, 2, 3, 3, 0, 0]]


def test_logit_index(pair):
    """Each action is read at its parent, the first one and those on an empty text at the prompt's end."""
    assert logit_index(pair, PROMPTS)[:, :2].tolist() == [[2, 3], [2, 2]]
    assert logit_index(pair, PROMPTS)[0].tolist() == [2, 3, 4, 3]


def test_the_end_of_a_prompt_padded_on_the_right(pair):
    """With prompt padding on the right the last prompt token is not the last column."""
    padded = torch.tensor([[T, T, F], [T, F, F]])
    assert logit_index(pair, padded)[:, 0].tolist() == [1, 0]
    assert position_ids(pair, padded).tolist() == [[0, 1, 0, 2, 3, 4, 3], [0, 0, 0, 1, 1, 0, 0]]


def test_tree_attention_mask(pair):
    """The correction sees prompt, 1 and itself; edits and padding see themselves, and nobody sees them."""
    first, second = tree_attention_mask(pair, PROMPTS).int().tolist()
    assert first == [
        [1, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 1, 1, 1, 0, 0, 1],
    ]
    assert second == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [1, 1, 1, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]


@pytest.mark.parametrize(
    ("row", "budget", "boundary", "banned"),
    [
        # Two of the four edits erase something: the first and third find an empty response.
        ([B, 1, B, B, 2, R, 3], None, Boundary.NOOP, [0, 0, 0, 0, 0, 0, 0]),
        ([B, 1, B, B, 2, R, 3], 3, Boundary.NOOP, [0, 0, 0, 0, 0, 0, 0]),
        ([B, 1, B, B, 2, R, 3], 2, Boundary.NOOP, [0, 0, 0, 0, 0, 0, 1]),
        ([1, B, 2, 3, R, 4], None, Boundary.MASK, [1, 0, 1, 0, 0, 1]),
        ([1, B, 2, 3, R, 4, 5], 2, Boundary.MASK, [1, 0, 1, 0, 0, 1, 1]),
        ([1, 2], 0, Boundary.NOOP, [1, 1]),
    ],
)
def test_budget_mask(row, budget, boundary, banned):
    """Bans begin after the last effective edit of the budget, and hold on an empty response if asked."""
    mask = budget_mask(resolve_row(row, FULL), budget, boundary)
    assert mask.int().tolist() == [banned]


def test_nothing_is_banned_at_padding(pair):
    """A budget of two is never spent here, and padding is no action."""
    assert not budget_mask(pair, 2, Boundary.NOOP).any()
    spent = resolve(torch.tensor([[1, B, 2, 3]]), torch.tensor([[T, T, T, F]]), FULL)
    assert budget_mask(spent, 1, Boundary.MASK).tolist() == [[T, F, T, F]]


@pytest.mark.parametrize(
    ("build", "dtype", "shape"),
    [
        (lambda r: response_mask(r, ErasedTokens.MASK), torch.bool, (2, 4)),
        (lambda r: response_mask(r, ErasedTokens.KEEP), torch.bool, (2, 4)),
        (lambda r: budget_mask(r, None, Boundary.NOOP), torch.bool, (2, 4)),
        (sft_labels, torch.long, (2, 4)),
        (lambda r: position_ids(r, PROMPTS), torch.long, (2, 7)),
        (lambda r: logit_index(r, PROMPTS), torch.long, (2, 4)),
        (lambda r: tree_attention_mask(r, PROMPTS), torch.bool, (2, 7, 7)),
    ],
)
@pytest.mark.parametrize("dtype_of_ids", [torch.long, torch.int32, torch.uint8])
def test_dtypes_and_shapes(build, dtype, shape, dtype_of_ids):
    """Masks are bool, labels, positions and indices int64, whatever integers the ids came in."""
    built = build(resolve(IDS.to(dtype_of_ids), VALID, FULL))
    assert (built.dtype, built.shape) == (dtype, shape)


@st.composite
def batches(draw):
    """Responses and prompts of any lengths, each padded on either side."""
    rows = draw(st.lists(st.lists(st.sampled_from([1, 2, DOT, B, S, R]), max_size=10), max_size=3))
    prompts = [draw(st.integers(1, 3)) for _ in rows]
    right = draw(st.booleans()), draw(st.booleans())

    def table(lengths, on_the_right):
        width = max(lengths, default=0)
        starts = [0 if on_the_right else width - length for length in lengths]
        column = torch.arange(width).expand(len(lengths), width)
        start = torch.tensor(starts, dtype=torch.long)[:, None]
        return (column >= start) & (column < start + torch.tensor(lengths, dtype=torch.long)[:, None]), starts

    valid, starts = table([len(row) for row in rows], right[0])
    prompt_valid, prompt_starts = table(prompts, right[1])
    ids = torch.full(valid.shape, B)
    for at, row in enumerate(rows):
        ids[at, starts[at] : starts[at] + len(row)] = torch.tensor(row, dtype=torch.long)
    return rows, starts, resolve(ids, valid, FULL), prompts, prompt_starts, prompt_valid


@given(batches())
def test_attention_and_positions_equal_the_stack(batch):
    """For any layout: who sees whom, where each action stands, and which logits it was sampled from."""
    rows, starts, resolution, prompts, prompt_starts, prompt_valid = batch
    attention = tree_attention_mask(resolution, prompt_valid)
    positions = position_ids(resolution, prompt_valid)
    index = logit_index(resolution, prompt_valid)
    width = prompt_valid.shape[1]
    for at, row in enumerate(rows):
        prompt = [prompt_starts[at] + i for i in range(prompts[at])]
        seen = {column: {column} for column in range(attention.shape[1])}
        seen |= {column: set(prompt[: i + 1]) for i, column in enumerate(prompt)}
        place = dict(zip(prompt, range(len(prompt)), strict=True))
        state = EditState(FULL)
        for t, token in enumerate(row):
            column = width + starts[at] + t
            live = [width + starts[at] + i for i in state.live_indices]
            assert index[at, starts[at] + t] == (prompt + live)[-1]
            place[column] = len(prompt) + len(live)
            state.push(token)
            if token not in FULL.edit_ids:
                seen[column] = {*prompt, *live, column}
        for column, visible in seen.items():
            assert set(attention[at, column].nonzero().flatten().tolist()) == visible
            assert positions[at, column] == place.get(column, 0)


@given(batches())
def test_labels_and_masks_equal_the_stack(batch):
    """For any layout the loss counts what is live at the end and every edit, and nothing else."""
    rows, starts, resolution, *_ = batch
    labels, mask = sft_labels(resolution), response_mask(resolution, ErasedTokens.MASK)
    for at, row in enumerate(rows):
        left = EditState(FULL).extend(row).live_indices
        counted = {starts[at] + t: i for t, i in enumerate(row) if t in left or i in FULL.edit_ids}
        assert set(mask[at].nonzero().flatten().tolist()) == set(counted)
        assert labels[at].tolist() == [counted.get(column, -100) for column in range(labels.shape[1])]


@given(batches())
def test_flex_mask_is_the_dense_mask(batch):
    """From `flex_mask_mod` torch builds the mask that `tree_attention_mask` gives, for any layout."""
    _, _, resolution, _, _, prompt_valid = batch
    dense = tree_attention_mask(resolution, prompt_valid)
    rows, length = dense.shape[:2]
    if rows and length:
        mask_mod = flex_mask_mod(resolution, prompt_valid)
        built = create_mask(mask_mod, rows, 1, length, length, device="cpu")
        assert torch.equal(built[:, 0], dense)


# Compiling the kernel takes a minute and would test torch.
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_takes_it(pair):
    """The flex_attention of torch with the block mask gives what dense attention gives with the tree mask."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 7, 8, dtype=torch.float64).unbind(0)
    block = create_block_mask(flex_mask_mod(pair, PROMPTS), 2, None, 7, 7, device="cpu")
    flexible = flex_attention(query, key, value, block_mask=block)
    dense = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=tree_attention_mask(pair, PROMPTS)[:, None]
    )
    torch.testing.assert_close(flexible, dense)


def test_edit_tokens_in_a_prompt_are_inert():
    """Builders take prompts as lengths: an edit token in one is a token like any other, for all to see."""
    resolution = resolve_row([1, B], FULL)
    attention = tree_attention_mask(resolution, torch.ones(1, 3, dtype=torch.bool))
    assert attention[0, 3].tolist() == [T, T, T, T, F]
    assert position_ids(resolution, torch.ones(1, 3, dtype=torch.bool)).tolist() == [[0, 1, 2, 3, 4]]


def test_a_batch_without_rows_or_columns():
    """No rows, and rows of length 0, give empty masks of the right shape."""
    nothing = resolve(IDS[:0], VALID[:0], FULL)
    assert tree_attention_mask(nothing, PROMPTS[:0]).shape == (0, 7, 7)
    assert budget_mask(nothing, 1, Boundary.MASK).shape == (0, 4)
    short = resolve(IDS[:, :0], VALID[:, :0], FULL)
    assert logit_index(short, PROMPTS).shape == (2, 0)
    assert position_ids(short, PROMPTS).tolist() == [[0, 0, 1], [0, 1, 2]]


def test_budgets_may_differ_by_row(pair):
    """A budget for each trace, none where it is NO_LIMIT; other numbers below 0 are refused."""
    twice = resolve(torch.tensor([[1, B, 2, 3], [1, B, 2, 3]]), torch.ones(2, 4, dtype=torch.bool), FULL)
    mask = budget_mask(twice, torch.tensor([1, NO_LIMIT]), Boundary.NOOP)
    assert mask.tolist() == [[F, F, T, T], [F, F, F, F]]
    with pytest.raises(TraceError, match="Give 0 or more"):
        budget_mask(twice, torch.tensor([1, -2]), Boundary.NOOP)


@pytest.mark.parametrize("build", [position_ids, logit_index, flex_mask_mod, tree_attention_mask])
@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (
            PROMPTS[:1],
            r"prompt_valid has shape \(1, 3\) for 2 responses. Fix: Pass Bool\[batch, prompt length\]",
        ),
        (PROMPTS[0], r"prompt_valid has shape \(3,\)"),
        (PROMPTS.long(), "prompt_valid has dtype torch.int64. Fix: Pass a bool mask"),
        (PROMPTS & torch.tensor([[T], [F]]), "A prompt is empty. Fix: Give every response at least one"),
    ],
)
def test_impossible_prompts_are_refused(pair, build, prompts, message):
    """Shape, dtype, and prompts without a last token to read the first action at."""
    with pytest.raises(TraceError, match=message):
        build(pair, prompts)


@pytest.mark.parametrize(
    ("budget", "boundary", "message"),
    [
        (-1, Boundary.NOOP, "The backtrack budget is -1. Fix: Give 0 or more, or None"),
        (0, Boundary.NOOP, "Row 0 has an edit at position 2, where budget=0 and boundary=noop ban it"),
        (None, Boundary.MASK, "Row 1 has an edit at position 0, where budget=None and boundary=mask ban it"),
    ],
)
def test_traces_that_break_their_budget_are_refused(pair, budget, boundary, message):
    """An edit where edits were banned means that the budget is not the one of the rollout."""
    with pytest.raises(TraceError, match=message):
        budget_mask(pair, budget, boundary)
