"""What the builders do to a loss: which tokens get a gradient, and that tree attention is a recomputation."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from halluc_plugin.edits import (
    EditState,
    EditVocab,
    ErasedTokens,
    logit_index,
    position_ids,
    resolve,
    response_mask,
    sft_labels,
    tree_attention_mask,
)

DOT, EOS, B, S, R, SIZE = 0, 9, 10, 11, 12, 13
FULL = EditVocab(B, step=S, step_delimiters=frozenset({DOT}), restart=R)
ROWS = [
    [1, 5, B, 2, DOT, 3, 4, 6, S, 7, 8, B, B, 3, EOS],  # a step backtrack over three, nested backtracks
    [B, 1, 2, R, 3, DOT, 4, S, S, B, 5, EOS],  # edits first, on the empty response and to its start
]
PROMPTS = [[2, B, 3], [7, 7, 8, 1]]  # the edit token in the first one is inert
SIZES = {
    "vocab_size": SIZE,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


@pytest.fixture(
    params=[(Qwen2Config, Qwen2ForCausalLM), (LlamaConfig, LlamaForCausalLM)], ids=["qwen2", "llama"]
)
def model(request):
    """A tiny decoder with weights large enough for context to matter."""
    config, decoder = request.param
    torch.manual_seed(0)
    built = decoder(config(**SIZES, attn_implementation="sdpa")).double().eval()
    with torch.no_grad():
        for weight in built.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return built


def padded(rows, *, left):
    """Ids and validity of rows, padded with an edit token."""
    width = max(map(len, rows))
    gaps = [[B] * (width - len(row)) for row in rows]
    ids = [gap + row if left else row + gap for row, gap in zip(rows, gaps, strict=True)]
    marks = [[False] * len(gap) + [True] * len(row) for row, gap in zip(rows, gaps, strict=True)]
    return torch.tensor(ids), torch.tensor([mark if left else mark[::-1] for mark in marks])


@pytest.fixture(params=[True, False], ids=["left", "right"])
def batch(request):
    """Prompts padded on the left, responses on either side: ids, resolution and prompt validity."""
    prompt_ids, prompt_valid = padded(PROMPTS, left=True)
    ids, valid = padded(ROWS, left=request.param)
    return torch.cat([prompt_ids, ids], 1), resolve(ids, valid, FULL), prompt_valid


def tree_log_probs(model, batch, inputs=None):
    """Float[B, T], log-probs of all actions by one forward over the raw trace."""
    ids, resolution, prompt_valid = batch
    embeddings = model.get_input_embeddings()(ids) if inputs is None else inputs
    logits = model(
        inputs_embeds=embeddings,
        attention_mask=tree_attention_mask(resolution, prompt_valid)[:, None],
        position_ids=position_ids(resolution, prompt_valid),
    ).logits
    index = logit_index(resolution, prompt_valid)
    read = logits.gather(1, index[..., None].expand(-1, -1, SIZE)).log_softmax(-1)
    return read.gather(2, resolution.ids[..., None])[..., 0]


def recomputed_log_probs(model):
    """For each row, the log-prob of every action from a forward of its own over the collapsed prefix."""
    rows = []
    for prompt, row in zip(PROMPTS, ROWS, strict=True):
        state, log_probs = EditState(FULL), []
        for token in row:
            context = torch.tensor([prompt + state.live_ids])
            log_probs.append(model(input_ids=context).logits[0, -1].log_softmax(-1)[token])
            state.push(token)
        rows.append(torch.stack(log_probs))
    return rows


def gradients(model, loss):
    """Gradient of each parameter."""
    return torch.autograd.grad(loss, list(model.parameters()))


def test_tree_attention_equals_recomputation_from_the_collapsed_prefix(model, batch):
    """One forward over the raw trace gives every action's hard log-prob, and its gradient."""
    _, resolution, _ = batch
    whole = tree_log_probs(model, batch)
    tree = [log_probs[valid] for log_probs, valid in zip(whole, resolution.valid, strict=True)]
    apart = recomputed_log_probs(model)
    # transformers' norms and rotary angles are in single precision, whatever the weights are.
    torch.testing.assert_close(tree, apart, rtol=1e-6, atol=1e-6)
    weights = [torch.linspace(-1, 2, len(row), dtype=torch.float64) for row in ROWS]
    for side, other in zip(
        gradients(model, sum((w * x).sum() for w, x in zip(weights, tree, strict=True))),
        gradients(model, sum((w * x).sum() for w, x in zip(weights, apart, strict=True))),
        strict=True,
    ):
        torch.testing.assert_close(side, other, rtol=1e-4, atol=1e-5)


def test_neither_mask_nor_positions_alone_are_enough(model, batch):
    """With causal attention, or with plain positions, the log-probs after an edit are others."""
    ids, resolution, prompt_valid = batch
    right = tree_log_probs(model, batch)
    valid = torch.cat([prompt_valid, resolution.valid], 1)
    plain = (valid.long().cumsum(1) - 1).clamp(min=0)
    causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    causal = (causal & valid[:, None]) | torch.eye(ids.shape[1], dtype=torch.bool)
    tree = tree_attention_mask(resolution, prompt_valid)
    index = logit_index(resolution, prompt_valid)
    for mask, positions in ((tree, plain), (causal, position_ids(resolution, prompt_valid))):
        logits = model(input_ids=ids, attention_mask=mask[:, None], position_ids=positions).logits
        read = logits.gather(1, index[..., None].expand(-1, -1, SIZE)).log_softmax(-1)
        wrong = read.gather(2, resolution.ids[..., None])[..., 0]
        assert (wrong - right)[resolution.valid].abs().max() > 0.01


def test_no_gradient_reaches_what_an_action_does_not_see(model, batch):
    """An action's log-prob moves with the prompt and what is live before it, and with nothing else."""
    ids, resolution, prompt_valid = batch
    inputs = model.get_input_embeddings()(ids).detach().requires_grad_()
    log_probs = tree_log_probs(model, batch, inputs)
    width = prompt_valid.shape[1]
    for row, tokens in enumerate(ROWS):
        first = int(resolution.valid[row].nonzero()[0])
        prompt = prompt_valid[row].nonzero().flatten().tolist()
        state = EditState(FULL)
        for t, token in enumerate(tokens):
            seen = {*prompt, *(width + first + i for i in state.live_indices)}
            (gradient,) = torch.autograd.grad(log_probs[row, first + t], inputs, retain_graph=True)
            touched = (gradient != 0).any(-1)
            assert set(touched[row].nonzero().flatten().tolist()) == seen
            assert not touched[1 - row].any()
            state.push(token)


@pytest.mark.parametrize("erased", ErasedTokens)
def test_policy_gradient_at_erased_tokens(batch, erased):
    """A masked policy loss has no gradient in the logits of erased tokens and padding; kept, erased have."""
    _, resolution, _ = batch
    torch.manual_seed(1)
    logits = torch.randn(*resolution.ids.shape, SIZE, dtype=torch.float64, requires_grad=True)
    log_probs = logits.log_softmax(-1).gather(2, resolution.ids[..., None])[..., 0]
    advantages = torch.randn_like(log_probs)
    (-(advantages * log_probs) * response_mask(resolution, erased)).sum().backward()
    touched = (logits.grad != 0).any(-1)
    live_or_edit = resolution.live | resolution.is_edit
    expected = live_or_edit if erased is ErasedTokens.MASK else live_or_edit | resolution.erased
    assert resolution.erased.any()
    assert torch.equal(touched, expected)


def test_sft_gradient_at_erased_tokens(model, batch):
    """The loss of transformers on the labels reads no logit that predicts an erased token, and all others."""
    ids, resolution, prompt_valid = batch
    labels = torch.cat([torch.full_like(prompt_valid, -100, dtype=torch.long), sft_labels(resolution)], 1)
    logits = model(input_ids=ids).logits.detach().requires_grad_()
    model.loss_function(logits=logits, labels=labels, vocab_size=SIZE).backward()
    touched = (logits.grad != 0).any(-1)
    # The logits of column i predict column i + 1.
    assert torch.equal(touched[:, prompt_valid.shape[1] - 1 : -1], resolution.live | resolution.is_edit)
    assert not touched[:, : prompt_valid.shape[1] - 1].any()
    assert not touched[:, -1].any()
