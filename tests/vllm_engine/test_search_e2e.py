"""The sampler of searches on a real vLLM engine: exact log-probs, samples that end where they should."""

import pytest
import torch

from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.search import End, Space, run
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB
from tests.vllm_engine.tabu_searches import GREEDY, SEARCHED_PROMPTS, samples_of, searches

pytest.importorskip("vllm")


@pytest.mark.e2e
@pytest.mark.slow
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


@pytest.mark.e2e
@pytest.mark.slow
def test_searches_with_tabu_are_those_of_transformers(model, results):
    """Greedily both samplers are asked for the same and answer alike, what samples may not begin with too."""
    found = run(searches(), SEARCHED_PROMPTS, HFSampler(model, GREEDY))
    want = [sample for search in found for sample in samples_of(search)]
    got = [sample for search in results["with_tabu"]["samples"] for sample in search]
    for theirs, ours in zip(got, want, strict=True):
        torch.testing.assert_close(theirs.pop("logprobs"), ours.pop("logprobs"), atol=1e-4, rtol=0)
        assert theirs == ours
    banned = [sample for sample in got if sample["banned"]]
    assert len(banned) > len(got) // 2
    assert {"edit", "eos", "length"} == {sample["end"] for sample in banned}
    assert min(len(sample["ids"]) for sample in banned) == 1


@pytest.mark.e2e
@pytest.mark.slow
def test_where_nothing_is_left_the_search_stops(results):
    """A request that bans all ids is refused, with what to do."""
    assert "every other one is banned too" in results["with_tabu"]["nothing left"]
