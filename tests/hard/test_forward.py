"""One forward over the raw trace equals a forward from the collapsed prefix for every action."""

import pytest
import torch
from transformers import (
    BloomConfig,
    CTRLConfig,
    FalconConfig,
    GPTNeoConfig,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
    Qwen3ForCausalLM,
    RobertaConfig,
    RwkvConfig,
)

from halluc_plugin.decoding import Context, Decoding, decode
from halluc_plugin.edits import Boundary, EditState, EditVocab, budget_mask, collapse, resolve
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard import require_tree_attention, score_actions

VOCAB = EditVocab(backtrack=40, step=41, step_delimiters=frozenset({3}), restart=42)
SMALL = {
    "vocab_size": 48, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
PROMPTS = [[1, 2, 3], [4], [5, 40, 6, 9]]
TRACES = [
    [7, 8, 40, 40, 9, 40, 40, 40, 5, 3, 6, 41, 7],  # nested, an edit on an empty response, a step
    [1, 3, 2, 42, 9, 9],
    [40, 7],
]


def model_of(kind="qwen3", attention="sdpa"):
    """A small random model with sharp predictions."""
    torch.manual_seed(0)
    config, build = {
        "qwen3": (Qwen3Config(**SMALL, head_dim=8), Qwen3ForCausalLM),
        "llama": (LlamaConfig(**SMALL), LlamaForCausalLM),
        "granite": (GraniteConfig(**SMALL, logits_scaling=3.0), GraniteForCausalLM),
    }[kind]
    config._attn_implementation = attention
    model = build(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(8)
    return model


def longrope(*, short, long):
    """Rotary positions with one set of factors up to 16 tokens, and another in longer sequences."""
    factors = {"short_factor": [short] * 4, "long_factor": [long] * 4}
    return {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 16, **factors}


def batch(prompts, traces, *, side="right"):
    """Padded prompts and the resolution of padded traces."""

    def pad(rows):
        width = max(map(len, rows))
        gaps = [[47] * (width - len(row)) for row in rows]
        ids = [row + gap if side == "right" else gap + row for row, gap in zip(rows, gaps, strict=True)]
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        columns = torch.arange(width)
        valid = columns < lengths if side == "right" else columns >= width - lengths
        return torch.tensor(ids), valid

    prompt_ids, prompt_valid = pad(prompts)
    return prompt_ids, prompt_valid, resolve(*pad(traces), VOCAB)


def one_by_one(model, prompt, trace, *, temperature=1.0, banned=None):
    """Log-prob and entropy of every action, each by a forward of its own from the collapsed prefix."""
    state, log_probs, entropies = EditState(VOCAB), [], []
    for t, action in enumerate(trace):
        logits = model(torch.tensor([prompt + state.live_ids])).logits[0, -1] / temperature
        if banned is not None and banned[t]:
            logits = logits.index_fill(0, torch.tensor(sorted(VOCAB.edit_ids)), -torch.inf)
        distribution = torch.distributions.Categorical(logits=logits)
        log_probs.append(distribution.log_prob(torch.tensor(action)))
        entropies.append(distribution.entropy())
        state.push(action)
    return torch.stack(log_probs), torch.stack(entropies)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["qwen3", "llama", "granite"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_equals_a_forward_for_every_action(kind, attention, side):
    """Log-probs and entropies, at another temperature, for every padding, also where logits are scaled."""
    model = model_of(kind, attention)
    scores = score_actions(model, *batch(PROMPTS, TRACES, side=side), temperature=0.7)
    for row, (prompt, trace) in enumerate(zip(PROMPTS, TRACES, strict=True)):
        own = slice(0, len(trace)) if side == "right" else slice(-len(trace), None)
        log_probs, entropy = one_by_one(model, prompt, trace, temperature=0.7)
        torch.testing.assert_close(scores.log_probs[row, own], log_probs, atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(scores.entropy[row, own], entropy, atol=1e-4, rtol=1e-5)
        outside = torch.ones(scores.log_probs.shape[1], dtype=torch.bool)
        outside[own] = False
        assert not scores.log_probs[row, outside].any()


def test_other_actions_are_read_in_the_same_states():
    """Of each state the log-prob of the id that is asked about, by a forward of its own."""
    model = model_of()
    prompts, valid, resolution = batch(PROMPTS, TRACES)
    asked = torch.randint(0, 40, resolution.ids.shape, generator=torch.Generator().manual_seed(0))
    found = score_actions(model, prompts, valid, resolution, asked=asked).log_probs
    for row, (prompt, trace) in enumerate(zip(PROMPTS, TRACES, strict=True)):
        state = EditState(VOCAB)
        for t, action in enumerate(trace):
            logits = model(torch.tensor([prompt + state.live_ids])).logits[0, -1]
            expected = torch.log_softmax(logits, -1)[asked[row, t]]
            torch.testing.assert_close(found[row, t], expected, atol=1e-4, rtol=1e-5)
            state.push(action)


def test_flex_attention_scores_as_sdpa_does():
    """The block mask is the same tree (forward only: torch has no backward of it on a CPU)."""
    model = model_of()
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        expected = score_actions(model, *batch(PROMPTS, TRACES)).log_probs
        model.set_attn_implementation("flex_attention")
        torch.testing.assert_close(
            score_actions(model, *batch(PROMPTS, TRACES)).log_probs, expected, atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_gradient_is_the_sum_over_actions(checkpointing):
    """Weighted by anything, with or without gradient checkpointing."""
    model = model_of().double()
    weights = torch.randn(3, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    if checkpointing:
        model.train()
        model.gradient_checkpointing_enable()
    scores = score_actions(model, *batch(PROMPTS, TRACES))
    (weights * (scores.log_probs + 0.3 * scores.entropy)).sum().backward()
    gradient = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.eval()
    for row, (prompt, trace) in enumerate(zip(PROMPTS, TRACES, strict=True)):
        log_probs, entropy = one_by_one(model, prompt, trace)
        (weights[row, : len(trace)] * (log_probs + 0.3 * entropy)).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradient[name], parameter.grad, atol=1e-4, rtol=1e-4)


def test_bans_are_those_of_the_sampling():
    """Traces sampled with a budget and a masked boundary score as they were sampled; gradients are finite."""
    model = model_of()
    with torch.no_grad():
        model.lm_head.weight[VOCAB.backtrack] += model.model.norm.weight
    decoding = Decoding(VOCAB, 24, Context.HARD, budget=2, boundary=Boundary.MASK)
    traces = decode(model, PROMPTS * 4, decoding, generator=torch.Generator().manual_seed(0))
    prompt_ids, prompt_valid, resolution = batch(PROMPTS * 4, [trace.ids for trace in traces])
    assert int(resolution.num_effective.sum()) > 8
    banned = budget_mask(resolution, 2, Boundary.MASK)
    scores = score_actions(model, prompt_ids, prompt_valid, resolution, edits_banned=banned)
    for row, trace in enumerate(traces):
        sampled = torch.tensor(trace.logprobs)
        torch.testing.assert_close(scores.log_probs[row, : len(sampled)], sampled, atol=1e-4, rtol=1e-5)
    (scores.log_probs.sum() + scores.entropy.sum()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_without_edits_it_is_the_causal_forward():
    """A trace without edits scores as any language model scores it."""
    model, trace = model_of(), [7, 8, 9, 3, 5]
    scores = score_actions(model, *batch([[1, 2]], [trace]))
    log_probs = model(torch.tensor([[1, 2, *trace]])).logits[0, 1:-1].log_softmax(-1)
    expected = log_probs.gather(-1, torch.tensor(trace)[:, None])[:, 0]
    torch.testing.assert_close(scores.log_probs[0], expected, atol=1e-5, rtol=1e-5)


def test_what_was_erased_changes_nothing_after_it():
    """Actions after an error that was taken back do not depend on the error's tokens."""
    model = model_of()
    scores = score_actions(model, *batch([[1, 2]] * 2, [[7, 40, 9, 5], [8, 40, 9, 5]]))
    torch.testing.assert_close(scores.log_probs[0, 2:], scores.log_probs[1, 2:])
    assert not torch.isclose(scores.log_probs[0, 1], scores.log_probs[1, 1])
    assert collapse([7, 40, 9, 5], VOCAB) == [9, 5]


class TestRefusals:
    """Models that cannot follow a tree."""

    @pytest.mark.parametrize(
        ("config", "named"),
        [
            (Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=8, max_window_layers=1), "sliding"),
            (MistralConfig(**SMALL, sliding_window=8), "a sliding window of 8 tokens"),
            (RwkvConfig(), "recurrent state"),
            (
                Qwen2Config(**SMALL, rope_parameters={"rope_type": "default", "mrope_section": [2, 1]}),
                "mrope",
            ),
            (
                Phi3Config(**SMALL, pad_token_id=0, rope_parameters=longrope(short=1.0, long=3.0)),
                r"longer sequences \(longrope\)",
            ),
            (GPTNeoConfig(attention_types=[[["global", "local"], 1]], num_layers=2), "layers of kind local"),
            (BloomConfig(), "positions that cannot be given"),
            (FalconConfig(alibi=True), "positions that cannot be given"),
            (RobertaConfig(is_decoder=True), "positions that begin behind its padding id"),
            (CTRLConfig(), "attention that takes no mask of a tree"),
        ],
        ids=[
            "layers",
            "window",
            "recurrent",
            "mrope",
            "longrope",
            "local",
            "bloom",
            "alibi",
            "roberta",
            "ctrl",
        ],
    )
    def test_what_cannot_be_rewound(self, config, named):
        """Windows, recurrent state, and positions that are no plain count or change with the length."""
        config._attn_implementation = "sdpa"
        with pytest.raises(SettingsError, match=rf"{named}.* cannot follow hard context"):
            require_tree_attention(config)

    def test_full_attention_passes(self):
        """A window that is switched off is none, nor are factors that do not depend on the length."""
        for config in (
            Phi3Config(**SMALL, pad_token_id=0, rope_parameters=longrope(short=3.0, long=3.0)),
            GPTNeoConfig(attention_types=[[["global"], 2]], num_layers=2),
            Qwen2Config(**SMALL, use_sliding_window=False, sliding_window=8),
            MistralConfig(**SMALL, sliding_window=None),
        ):
            config._attn_implementation = "sdpa"
            assert require_tree_attention(config) == "sdpa"

    def test_causal_kernels(self):
        """Flash attention takes no mask; the message names what does."""
        config = Qwen2Config(**SMALL)
        config._attn_implementation = "flash_attention_2"
        with pytest.raises(SettingsError, match="attn_implementation=sdpa"):
            require_tree_attention(config)

    def test_shapes_and_temperature(self):
        """One message for each."""
        prompt_ids, prompt_valid, resolution = batch(PROMPTS, TRACES)
        with pytest.raises(TraceError, match="temperature is 0"):
            score_actions(model_of(), prompt_ids, prompt_valid, resolution, temperature=0)
        with pytest.raises(TraceError, match="prompt_ids have shape"):
            score_actions(model_of(), prompt_ids[:, :1], prompt_valid, resolution)
