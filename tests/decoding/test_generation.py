"""Logits processors see what the model sees, and what is banned stays banned."""

import pytest
import torch
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    Qwen2Config,
    Qwen2ForCausalLM,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.generation.logits_process import InfNanRemoveLogitsProcessor, TopKLogitsWarper

from halluc_plugin.decoding import Context, Decoding, EditPolicy, decode
from halluc_plugin.decoding.generation import prepare
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.errors import SettingsError

VOCAB = EditVocab(backtrack=20, size=24)
PROMPTS = [[1, 2, 3, 1, 2], [4], [5, 6]]


@pytest.fixture(scope="module")
def model():
    """A small random model that often edits."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=30, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight *= 8
        model.lm_head.weight[VOCAB.backtrack] += 1.5 * model.model.norm.weight
    return model


@pytest.mark.parametrize("context", list(Context))
def test_processors_see_the_raw_text_in_soft_and_the_live_text_in_hard_context(model, context):
    """Greedy: every action is the best by transformers' processors over exactly what the model sees."""
    processors = LogitsProcessorList(
        [RepetitionPenaltyLogitsProcessor(1.5), NoRepeatNGramLogitsProcessor(2), TopKLogitsWarper(3)]
    )
    decoding = Decoding(VOCAB, 40, context, temperature=0.0, budget=8)
    traces = decode(model, PROMPTS, decoding, processors=processors, pad_id=29)
    assert sum(trace.ids.count(VOCAB.backtrack) for trace in traces) >= 3
    for prompt, trace in zip(PROMPTS, traces, strict=True):
        policy = EditPolicy(VOCAB, budget=8)
        for at, (token, logprob) in enumerate(zip(trace.ids, trace.logprobs, strict=True)):
            written = collapse(trace.ids[:at], VOCAB) if context is Context.HARD else trace.ids[:at]
            seen = torch.tensor([[29] * (5 - len(prompt)) + prompt + list(written)])
            with torch.no_grad():
                scores = model(torch.tensor([prompt + list(written)])).logits[:, -1]
            scores[:, [*policy.banned(), *range(24, 30)]] = -torch.inf
            distribution = processors(seen, scores).log_softmax(-1)[0]
            assert token == distribution.argmax()
            assert logprob == pytest.approx(distribution[token].item(), abs=1e-3)
            policy.push(token)


def test_what_is_banned_stays_banned(model):
    """The flag ``remove_invalid_values`` makes -inf finite; banned ids are still not sampled."""
    processors = LogitsProcessorList([InfNanRemoveLogitsProcessor()])
    decoding = Decoding(VOCAB, 30, budget=0)
    for trace in decode(model, PROMPTS * 8, decoding, processors=processors):
        assert all(token < 24 and token != VOCAB.backtrack for token in trace.ids)
        assert min(trace.logprobs) > -1e4


def test_a_batch_is_prepared_as_generate_prepares_it(model):
    """Length, ends, and whether to sample: of the arguments, else the model's config, else transformers."""
    own = model.generation_config
    try:
        model.generation_config = GenerationConfig(
            eos_token_id=[1, 2], do_sample=True, repetition_penalty=1.2
        )
        ids = torch.tensor([[1, 2, 3]])
        plain = prepare(model, ids, torch.ones_like(ids), {"max_length": 10, "pad_token_id": 0})
        assert (plain.max_actions, plain.samples, plain.eos_ids) == (7, True, {1, 2})
        kinds = [type(processor).__name__ for processor in plain.processors]
        assert kinds == ["RepetitionPenaltyLogitsProcessor", "TopKLogitsWarper"]
        told = {"max_length": 10, "pad_token_id": 0, "do_sample": False, "eos_token_id": 5}
        greedy = prepare(model, ids, torch.ones_like(ids), told)
        assert (greedy.samples, greedy.eos_ids, len(greedy.processors)) == (False, {5}, 1)
    finally:
        model.generation_config = own


def test_unknown_arguments_are_refused(model):
    """An argument that would be dropped, or reach the model's forward, is an error."""
    ids = torch.tensor([[1, 2, 3]])
    for name in ("top_q", "prefix_allowed_tokens_fn", "logits_processor", "labels"):
        with pytest.raises(SettingsError, match=name):
            prepare(model, ids, torch.ones_like(ids), {"max_length": 10, name: None})
