"""Packed rows read as the padded path before them did: log-probs, entropies, edit masses, gradients."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM

from halluc_plugin.acceptance.padded import padded_scores
from halluc_plugin.edits import Boundary, Context, budget_mask, pad_rows, resolve_rows, tree_attention_mask
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard import Attention, Statistic, packed_inputs, score_actions
from halluc_plugin.hard.inputs import _by_blocks
from halluc_plugin.hard.packed import BLOCK, MOST_PADDING
from halluc_plugin.hard.packed_attention import PackedMask, take_packed_rows
from tests.hard.conftest import FAMILIES, PROMPTS, TRACES, VOCAB, batch, gradients, model_of


def weighed(columns):
    """A loss in which every action's every statistic counts otherwise."""
    generator = torch.Generator().manual_seed(1)
    return sum((torch.randn(x.shape, generator=generator) * x).sum() for x in columns)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_padded_path(family, attention):
    """In one chunk and in several, on every family, for empty answers and such as are edits alone."""
    model, given = model_of(family, attention), batch()
    old = padded_scores(model, *given)
    want = gradients(model, weighed(old))
    for chunk in (None, 5):
        scores = score_actions(model, *given, chunk=chunk)
        new = (scores.log_probs, scores.entropy, scores.edit_mass)
        for have, expected in zip(new, old, strict=True):
            torch.testing.assert_close(have, expected, atol=1e-5, rtol=1e-5)
        for name, gradient in gradients(model, weighed(new)).items():
            torch.testing.assert_close(gradient, want[name], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("chunk", [None, 3])
def test_bans_and_temperature(chunk):
    """Rows that fill a budget, a masked boundary, another temperature: all is the same, gradients too."""
    model = model_of("qwen3")
    prompts, traces = [[1, 2], [3]], [[7, 40, 8, 41, 9, 5], [7, 8, 9]]
    ids, valid, resolution = batch(prompts, traces)
    banned = budget_mask(resolution, 2, Boundary.MASK)
    assert banned[0].tolist() == [True, False, True, False, True, True]  # the fourth fills the budget
    options = {"temperature": 0.7, "banned": banned}
    old = padded_scores(model, ids, valid, resolution, **options)
    want = gradients(model, weighed(old))
    scores = score_actions(model, ids, valid, resolution, temperature=0.7, edits_banned=banned, chunk=chunk)
    new = (scores.log_probs, scores.entropy, scores.edit_mass)
    for have, expected in zip(new, old, strict=True):
        torch.testing.assert_close(have, expected, atol=1e-5, rtol=1e-5)
    assert not scores.edit_mass[banned].any()
    for name, gradient in gradients(model, weighed(new)).items():
        torch.testing.assert_close(gradient, want[name], atol=2e-5, rtol=1e-4)


def test_wide_rows_are_attended_to_in_strips():
    """A row of several strips, packed with a short one, reads as padded."""
    model, generator = model_of("llama"), torch.Generator().manual_seed(0)
    model.config.max_position_embeddings = 512
    traces = torch.randint(5, 42, (2, 300), generator=generator).tolist()
    given = batch([[1, 2], [3]], [traces[0], traces[1][:40]])
    have = score_actions(model, *given).log_probs
    torch.testing.assert_close(have, padded_scores(model, *given)[0], atol=1e-5, rtol=1e-5)


def test_soft_context_reads_the_causal_forward():
    """Every action sees the raw trace: its log-probs are those of each row by itself."""
    model, (ids, valid, resolution) = model_of("qwen3"), batch()
    scores = score_actions(model, ids, valid, resolution, context=Context.SOFT, unknown_banned=False)
    for row, (prompt, trace) in enumerate(zip(PROMPTS, TRACES, strict=True)):
        logits = model(torch.tensor([prompt + trace])).logits[0, len(prompt) - 1 : -1]
        want = logits.log_softmax(-1).gather(-1, torch.tensor(trace, dtype=torch.long)[:, None])[:, 0]
        torch.testing.assert_close(scores.log_probs[row, : len(trace)], want, atol=1e-5, rtol=1e-5)


def test_flex_attention_gets_one_type_under_autocast(monkeypatch):
    """Queries and keys that were normalised in single precision are halved, as the values are."""
    from halluc_plugin.hard import packed_attention

    seen, attend = set(), packed_attention.flex_attention_forward

    def spied(module, *tensors, **options):
        seen.add(tuple(tensor.dtype for tensor in tensors[:3]))
        return attend(module, *tensors, **options)

    monkeypatch.setattr(packed_attention, "flex_attention_forward", spied)
    model = model_of("qwen3", "flex_attention")
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        single = score_actions(model, *batch()).log_probs
        with torch.autocast("cpu", torch.bfloat16):
            half = score_actions(model, *batch()).log_probs
    assert seen == {(torch.float32,) * 3, (torch.bfloat16,) * 3}
    torch.testing.assert_close(half, single, atol=0.5, rtol=0)


def test_answers_that_are_all_empty():
    """Nothing is read, and a backward still goes through (a process of several must take part)."""
    model = model_of("qwen3")
    scores = score_actions(model, *batch([[1, 2], [3]], [[], []]))
    assert scores.log_probs.shape == (2, 0)
    scores.log_probs.sum().backward()
    assert not model.lm_head.weight.grad.any()


def test_rows_lie_behind_one_another_by_hand():
    """Ids, rewound positions and what is read, longest row first."""
    packed = packed_inputs(*batch([[1, 2], [3]], [[7, 40, 8], [9, 40, 40, 40, 5, 6]]))
    assert packed.input_ids.tolist() == [[3, 9, 40, 40, 40, 5, 6, 1, 2, 7, 40, 8]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 1, 1, 1, 2, 0, 1, 2, 3, 2]]
    assert packed.index.tolist() == [8, 9, 8, 0, 1, 0, 0, 0, 5]


def test_little_is_padding():
    """Rows of about one length lie together; for no lengths are there a tenth more tokens than before."""
    generator = torch.Generator().manual_seed(0)
    for most in (5, 60, 400):
        lengths = torch.randint(1, most, (40,), generator=generator).tolist()
        traces = [[7, 40, *[8] * length][:length] for length in lengths]
        packed = packed_inputs(*batch([[1, 2, 3]] * 40, traces))
        real = sum(lengths) + 3 * 40
        assert real <= packed.input_ids.numel() <= MOST_PADDING * real
        assert len(packed.attention_mask.groups) <= 40


def dense(prompts, traces, length):
    """Bool[N, N] of rows one behind the other in their order, from the masks of padded rows."""
    whole = torch.eye(length, dtype=torch.bool)
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row] + traces[row]))
    at = 0
    for row in order:
        ids, valid = pad_rows([prompts[row]])
        size = len(prompts[row] + traces[row])
        mask = tree_attention_mask(resolve_rows([traces[row]], VOCAB), valid)[0]
        whole[at : at + size, at : at + size] = mask
        at += size
        assert ids.shape == valid.shape
    return whole


def test_the_block_mask_is_the_dense_mask():
    """Blocks in full are visible throughout, blocks that are left out nowhere, the rest by its rule."""
    generator = torch.Generator().manual_seed(0)
    prompts = [[1] * 150, [2] * 5, [3] * 40]
    # An error that is erased as a whole: blocks between are seen by nobody any more.
    traces = [
        [8] * 300 + [42] + [9] * 290,
        torch.randint(5, 42, (200,), generator=generator).tolist(),
        [7] * 3,
    ]
    packed = packed_inputs(*batch(prompts, traces), blocks=True)
    mask, length = packed.attention_mask, packed.input_ids.shape[1]
    assert length % BLOCK == 0
    want = dense(prompts, traces, length)
    q, k = torch.arange(length)[:, None], torch.arange(length)
    assert torch.equal(mask.mask_mod(0, 0, q, k), want)
    blocks = want.view(length // BLOCK, BLOCK, -1, BLOCK).transpose(1, 2)
    partial, full = (
        listed(count[0, 0], which[0, 0])
        for count, which in (
            (mask.kv_num_blocks, mask.kv_indices),
            (mask.full_kv_num_blocks, mask.full_kv_indices),
        )
    )
    assert not (partial & full).any()
    assert torch.equal(full, blocks.flatten(2).all(-1))
    assert not (blocks.flatten(2).any(-1) & ~partial & ~full).any()
    assert partial.sum() < 4 * len(partial)  # and little else is looked into


def listed(count, which):
    """Bool[Q, K] of counts and indices of blocks."""
    pairs = torch.zeros(which.shape, dtype=torch.bool)
    for row, (number, columns) in enumerate(zip(count.tolist(), which.tolist(), strict=True)):
        pairs[row, columns[:number]] = True
    return pairs


def test_packed_blocks_are_attended_to_as_groups_are():
    """Flex attention reads the same (forward only: torch has no backward of it on a CPU)."""
    model = model_of("qwen3")
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        want = score_actions(model, *batch()).log_probs
        model.set_attn_implementation("flex_attention")
        torch.testing.assert_close(score_actions(model, *batch()).log_probs, want, atol=1e-5, rtol=1e-5)
    assert model.config._attn_implementation == "halluc_packed_flex_attention"


def test_flex_attention_trains_where_it_has_no_backward():
    """On a CPU the rows of a model that was loaded with it are attended to by groups: same gradients."""
    wanted, model, given = model_of("qwen3"), model_of("qwen3", "flex_attention"), batch()
    want = gradients(wanted, score_actions(wanted, *given).log_probs.sum())
    have = gradients(model, score_actions(model, *given).log_probs.sum())
    for name, gradient in want.items():
        torch.testing.assert_close(have[name], gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("device", "by_blocks"),
    [
        ("cuda", {"sdpa", "flex_attention"}),
        ("xpu", {"sdpa", "flex_attention"}),
        ("mps", set()),
        ("cpu", set()),
    ],
)
def test_blocks_are_for_devices_with_a_backward(device, by_blocks):
    """Elsewhere a step would end in torch's refusal; eager attention is never replaced."""
    found = {name.value for name in Attention if _by_blocks(name, torch.device(device))}
    assert found == by_blocks


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_switched_model_attends_to_all_else_as_before(attention):
    """Plain forwards, with and without a mask, are bit-identical; a copy is switched, too."""
    model = model_of("gemma2", attention)
    ids, mask = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    before = [model(ids).logits, model(ids, attention_mask=mask).logits]
    assert take_packed_rows(model)
    for one in (model, copy.deepcopy(model)):
        after = [one(ids).logits, one(ids, attention_mask=mask).logits]
        assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_nothing_of_ours_is_saved(attention, tmp_path):
    """A scored model's folder is that of one that was never scored, byte by byte: others load it as ever."""
    plain, scored = model_of("qwen3", attention), model_of("qwen3", attention)
    score_actions(scored, *batch()).log_probs.sum().backward()
    assert scored.config._attn_implementation.startswith("halluc_")
    for name, model in (("plain", plain), ("scored", scored)):
        model.save_pretrained(tmp_path / name)
    files = {file.name: file.read_bytes() for file in (tmp_path / "scored").iterdir()}
    assert "config.json" in files
    assert files == {file.name: file.read_bytes() for file in (tmp_path / "plain").iterdir()}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "scored")
    assert loaded.config._attn_implementation == "sdpa"


def test_a_packed_mask_is_read_by_our_attention_alone():
    """Whatever else computes with it is refused, before it takes nothing for a mask."""
    mask = packed_inputs(*batch()).attention_mask
    assert isinstance(mask, PackedMask)
    assert (mask.ndim, mask.dtype, len(mask.shape)) == (4, torch.bool, 4)
    with pytest.raises(SettingsError, match="reads its mask itself"):
        torch.zeros(1, 1, 1, 1) + mask
    with pytest.raises(SettingsError, match="attn_implementation"):
        torch.nn.functional.scaled_dot_product_attention(*[torch.zeros(1, 1, 4, 8)] * 3, attn_mask=mask)


def test_an_empty_prompt_is_refused():
    """Nothing predicts its first action."""
    ids, valid, resolution = batch([[1], [2]], [[7], [8]])
    valid[1] = False
    with pytest.raises(TraceError, match="prompt is empty"):
        packed_inputs(ids, valid, resolution)


def test_what_was_not_asked_for_is_refused():
    """The message names what to ask for."""
    scores = score_actions(model_of("qwen3"), *batch(), wanted=(Statistic.LOG_PROB,))
    with pytest.raises(TraceError, match=r"Statistic\.ENTROPY"):
        _ = scores.entropy
