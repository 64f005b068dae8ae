"""vllm-backtrack: the traces and scores of hf-backtrack from a real vLLM engine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halluc_plugin.errors import SettingsError

pytest.importorskip("vllm")


@pytest.fixture(scope="module")
def results(tiny_model, gsm8k_folder, tmp_path_factory):
    """What both models answered, by context and model."""
    written = tmp_path_factory.mktemp("results") / "results.json"
    script = Path(__file__).with_name("vllm_on_cpu.py")
    tasks = Path(__file__).parents[2] / "lm_eval_tasks"
    done = subprocess.run(
        [sys.executable, str(script), str(tiny_model), str(tasks), str(gsm8k_folder), str(written)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(written.read_text())


@pytest.mark.parametrize("context", ["soft", "hard"])
def test_what_the_context_needs_cannot_be_replaced(context, monkeypatch):
    """An engine that would keep what an edit erases, or would not limit edits, is refused unstarted."""
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    from lm_eval_tasks.vllm_backtrack import VLLMBacktrack

    with pytest.raises(SettingsError, match=f"itself sets logits_processors for context={context}"):
        VLLMBacktrack("no-such-model", context=context, logits_processors=[])
    with pytest.raises(SettingsError, match="itself sets scheduler_cls for context=hard"):
        VLLMBacktrack("no-such-model", context="hard", scheduler_cls=None)
    with pytest.raises(SettingsError, match=r"context is 'firm'.*soft, hard"):
        VLLMBacktrack("no-such-model", context="firm")


@pytest.mark.e2e
class TestBesideHFBacktrack:
    """Same checkpoint, same prompts, on a CPU."""

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_greedy_traces_are_identical(self, results, context):
        """Every trace agrees token by token: a budget of two in soft context, tabu in hard context."""
        got = results[f"{context}_vllm"]["answers"]
        assert got == results[f"{context}_hf"]["answers"]
        assert max(answer["backtracks"] for answer in got) >= 2

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_scores_and_rows_are_identical(self, results, context):
        """lm_eval reports the same numbers for a task of ours, and reads the same answers."""
        ours, theirs = results[f"{context}_vllm"], results[f"{context}_hf"]
        assert (ours["scores"], ours["rows"]) == (theirs["scores"], theirs["rows"])
        assert ours["scores"]["backtracks,trace"] > 0

    @pytest.mark.parametrize("context", ["soft", "hard"])
    def test_stop_strings_end_the_text_after_collapsing(self, results, context):
        """A stop string cuts what is left, never the trace."""
        whole, cut = results[f"{context}_vllm"]["answers"][0], results[f"{context}_vllm"]["cut"][0]
        assert cut["text"] == whole["text"].split(results[f"{context}_vllm"]["stop"])[0]
        assert cut["record"] == whole["record"]

    def test_greedy_loops_are_refused(self, results):
        """Greedy hard decoding without tabu or a budget is refused in the words of the model's arguments."""
        assert "Set tabu=True, a budget, or a temperature above 0" in results["loop"]
