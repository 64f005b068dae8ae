"""The transformers sampler: exact log-probs, greedy and beams as transformers decodes, ends as asked for."""

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, Qwen2Config, Qwen2ForCausalLM

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape, log_probs
from halluc_plugin.search import End, Request, Space, greedy, run, self_backtracking
from halluc_plugin.search.beams import beam_search

EOS, STEP, BACK = 0, 1, 2
SPACE = Space(EditVocab(backtrack=BACK), frozenset({EOS}), frozenset({STEP}), max_tokens=16)
PROMPTS = [(5, 6, 7), (8,), (9, 10), (5, 6, 7)]


@pytest.fixture(scope="module")
def model():
    """A small random model that often ends steps and takes back."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=24, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False, eos_token_id=EOS,
        attn_implementation="sdpa",
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(4.0)
    return model


def test_log_probs_equal_a_recomputation(model):
    """Of every sampled id, in one batch of requests of two kinds, the stopping ids included."""
    requests = [
        Request(prompt, 6 + i % 3, 0.5 if i % 2 else 1.0, SPACE.stop_ids(steps=i % 2 == 0))
        for i, prompt in enumerate(PROMPTS * 8)
    ]
    samples = HFSampler(model, SPACE, batch_size=5, seed=1).sample(requests)
    for request, sample in zip(requests, samples, strict=True):
        whole = torch.tensor([[*request.prefix, *sample.ids]])
        with torch.no_grad():
            logits = model(whole).logits[0, len(request.prefix) - 1 : -1]
        every = (logits / request.temperature).log_softmax(-1)
        expected = every.gather(1, torch.tensor(sample.ids)[:, None])
        assert sample.edit_probs == pytest.approx(every[:, BACK].exp().tolist(), abs=1e-5)
        assert sample.entropies == pytest.approx((-every.exp() * every).sum(-1).tolist(), abs=1e-4)
        assert sample.logprobs == pytest.approx(expected[:, 0].tolist(), abs=1e-4)
        assert not request.stop_ids & set(sample.ids[:-1])
        assert len(sample.ids) <= request.max_tokens
        stopped = sample.ids[-1] in request.stop_ids
        assert sample.end == (SPACE.end(sample.ids[-1]) if stopped else End.LENGTH)
        assert stopped or len(sample.ids) == request.max_tokens
    assert len({sample.ids for sample in samples}) > 10


def test_the_seed_decides(model):
    """The same seed samples the same, another one does not."""
    requests = [Request(prompt, 9, 1.0, SPACE.stop_ids()) for prompt in PROMPTS]
    one, same, other = (HFSampler(model, SPACE, seed=seed).sample(requests) for seed in (0, 0, 1))
    assert one == same != other


def test_banned_edits_are_not_sampled(model):
    """The same model without its backtracks, whose probability goes to the other tokens."""
    space = replace(SPACE, edits_banned=True)
    requests = [Request(prompt, 9, 1.0, space.stop_ids()) for prompt in PROMPTS * 6]
    free, banned = (HFSampler(model, where, seed=0).sample(requests) for where in (SPACE, space))
    assert any(sample.end is End.EDIT for sample in free)
    for request, sample in zip(requests, banned, strict=True):
        assert BACK not in sample.ids
        with torch.no_grad():
            logits = model(torch.tensor([[*request.prefix, *sample.ids]])).logits[
                0, len(request.prefix) - 1 : -1
            ]
        logits[:, BACK] = -torch.inf
        expected = logits.log_softmax(-1).gather(1, torch.tensor(sample.ids)[:, None])[:, 0]
        assert sample.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_greedy_is_that_of_transformers(model):
    """Where the likeliest continuation ends by EOS it is found, else nothing is."""
    results = run([greedy(prompt, SPACE) for prompt in PROMPTS], PROMPTS, HFSampler(model, SPACE))
    for prompt, result in zip(PROMPTS, results, strict=True):
        output = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False, max_new_tokens=16, eos_token_id=[EOS, BACK], pad_token_id=EOS,
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert [list(response.ids) for response in result.responses] == (
            [output] if output[-1] == EOS else []
        )
        assert result.cost.tokens == len(output)


def test_beams_are_finished_responses_with_their_log_probs(model):
    """Each ends by its first EOS, holds no edit, and carries the model's own log-probs."""
    results = beam_search(model, PROMPTS, SPACE, 6)
    assert sum(len(result.responses) for result in results) > 0
    for prompt, result in zip(PROMPTS, results, strict=True):
        assert len({response.ids for response in result.responses}) == len(result.responses) <= 6
        for response in result.responses:
            assert response.ids.index(EOS) == len(response.ids) - 1
            assert BACK not in response.ids
            assert response.logprobs == log_probs(model, prompt, response.ids)
        assert result.cost.tokens % 6 == 0


def test_a_whole_search(model):
    """Responses of Self-Backtracking carry the log-probs that the model gives them as a whole."""
    searches = [self_backtracking(prompt, SPACE, 16, 2) for prompt in PROMPTS]
    results = run(searches, PROMPTS, HFSampler(model, SPACE, seed=3))
    responses = [(p, r) for p, result in zip(PROMPTS, results, strict=True) for r in result.responses]
    assert len(responses) > 4
    for prompt, response in responses:
        assert response.logprobs == pytest.approx(log_probs(model, prompt, response.ids), abs=1e-4)


def test_sizes_of_a_config(model):
    """As the config says, with the head size worked out where it is not said."""
    shape = decoder_shape(model.config)
    assert (shape.hidden, shape.kv, shape.intermediate, shape.layers) == (32, 16, 48, 2)


def test_sizes_that_a_config_does_not_name():
    """Of a model whose costs are counted otherwise none is made up; the message says what is missing."""
    with pytest.raises(SettingsError, match="gpt2 are not known: its config has no num_key_value_heads"):
        decoder_shape(GPT2Config())
