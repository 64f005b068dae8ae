"""What the sampler of searches asks of an engine and makes of its answers; the engine is scripted."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip("vllm")

from halluc_plugin.edits import EditVocab
from halluc_plugin.sampling.states import End, Response, Space, wanted
from halluc_plugin.vllm_engine.sampler import VLLMSampler

EOS = 0
SPACE = Space(EditVocab(backtrack=2), frozenset({EOS}), frozenset({1}), max_tokens=8)


class Engine:
    """Answers every request with the same ids, and with log-probs where they are asked for."""

    def __init__(self):
        self.asked = []

    def generate(self, prompts, params, use_tqdm):
        """As ``vllm.LLM``."""
        self.asked += params
        return [SimpleNamespace(outputs=[self.answer(each)]) for each in params]

    def answer(self, params):
        """One output."""
        ids = [5, 6, EOS]
        at_each = [{token: SimpleNamespace(logprob=-0.5)} for token in ids]
        return SimpleNamespace(token_ids=ids, logprobs=None if params.logprobs is None else at_each)


def test_log_probs_are_made_only_where_they_are_asked_for():
    """A request without them has ids and an end all the same."""
    engine = Engine()
    request = wanted((7, 8), Response(), SPACE)
    with_them, without = VLLMSampler(engine, SPACE).sample([request, replace(request, logprobs=False)])
    assert [params.logprobs for params in engine.asked] == [0, None]
    assert (with_them.logprobs, without.logprobs) == ((-0.5,) * 3, ())
    assert with_them.ids == without.ids == (5, 6, EOS)
    assert with_them.end is without.end is End.EOS
