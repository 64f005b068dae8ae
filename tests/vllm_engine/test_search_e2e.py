"""The sampler of searches on a real vLLM engine: exact log-probs, samples that end where they should."""

import pytest
import torch

from halluc_plugin.search import End, Space
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB

pytest.importorskip("vllm")


@pytest.mark.e2e
def test_samples_are_what_was_asked_for(model, results):
    """Each log-prob is transformers' own, greedy is the likeliest, the first stop id ends, equals differ."""
    space = Space(VOCAB, frozenset({EOS}), VOCAB.step_delimiters, max_tokens=40)
    ends = set()
    for sample in results["searched"]:
        ids, stops = sample["ids"], set(sample["stop_ids"])
        whole = torch.tensor([[*sample["prefix"], *ids]])
        with torch.no_grad():
            logits = model(whole).logits[0, len(sample["prefix"]) - 1 : -1]
        log_p = (logits / (sample["temperature"] or 1.0)).log_softmax(-1)
        want = log_p.gather(-1, torch.tensor(ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(sample["logprobs"]), want, atol=1e-4, rtol=0)
        if sample["temperature"] == 0:
            assert logits.argmax(-1).tolist() == ids
        assert not stops & set(ids[:-1])
        ended = space.end(ids[-1]) if ids[-1] in stops else End.LENGTH
        assert sample["end"] == ended
        assert len(ids) <= sample["max_tokens"]
        assert ended is not End.LENGTH or len(ids) == sample["max_tokens"]
        ends.add(ended)
    assert {End.EDIT, End.STEP} <= ends
    drawn = [tuple(s["ids"]) for s in results["searched"] if s["temperature"]]
    assert len(set(drawn)) > len(drawn) // 2
