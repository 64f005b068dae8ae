"""vllm-backtrack: the traces of hf-backtrack from a real vLLM engine."""

import sys

import pytest
from lm_eval.api.instance import Instance

from halluc_plugin.errors import SettingsError

pytest.importorskip("vllm")
metadata = pytest.importorskip("verl_ext.vllm_metadata")

CONTEXTS = ["1 2 3", "What is 40+2?\n", "abc", "1 2 3 4 5 6 7"]
OPTIONS = {"until": [], "max_gen_toks": 24, "do_sample": False}


@pytest.fixture(autouse=True)
def vllm_by_name(monkeypatch):
    """lm_eval asks for the version of ``vllm``, which the CPU build does not answer to."""
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    metadata.offer_vllm_metadata()


def test_hard_context_is_refused_before_an_engine_starts():
    """VLLM keeps what an edit erased, so hard context is refused with the model that can do it."""
    from lm_eval_tasks.vllm_backtrack import VLLMBacktrack

    with pytest.raises(SettingsError, match="hf-backtrack with context=hard"):
        VLLMBacktrack("no-such-model", context="hard")


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_greedy_traces_are_those_of_hf_backtrack(tiny_model, monkeypatch):
    """Same checkpoint, same prompts, a budget of two: traces agree; stop strings cut afterwards."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    from lm_eval_tasks.hf_backtrack import HFBacktrack
    from lm_eval_tasks.vllm_backtrack import VLLMBacktrack

    def requests(**options):
        return [Instance("generate_until", {}, (text, {**OPTIONS, **options}), 0) for text in CONTEXTS]

    hf = HFBacktrack(str(tiny_model), max_backtracks=2, batch_size=4, device="cpu", dtype="float32")
    vllm = VLLMBacktrack(
        str(tiny_model), max_backtracks=2, dtype="float32", enforce_eager=True, max_model_len=128, seed=0
    )
    expected = hf.generate_until(requests(), disable_tqdm=True)
    got = vllm.generate_until(requests(), disable_tqdm=True)
    assert [answer.trace for answer in got] == [answer.trace for answer in expected]
    assert max(answer.trace.backtracks for answer in got) == 2

    stop = got[0][2:4]
    cut = vllm.generate_until(requests(until=[stop]), disable_tqdm=True)
    assert cut[0] == got[0].split(stop)[0]
    assert cut[0].trace == got[0].trace
