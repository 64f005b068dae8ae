"""``scripts/accept_gpu.sh --part verl``: how it reads what hosts say, and the whole of it on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from halluc_plugin.acceptance import verl

SCRIPT = Path(__file__).parents[2] / "scripts" / "accept_gpu.sh"
CPU = torch.device("cpu")


@pytest.fixture
def said(monkeypatch):
    """Let the command that is run say something instead."""

    def say(stdout="", stderr="", code=0):
        done = subprocess.CompletedProcess([], code, stdout, stderr)
        monkeypatch.setattr(verl, "_run", lambda *_: done)

    return say


def test_a_red_line_of_the_doctor_fails(said):
    """It is told with its room; what the engine's room says are the figures."""
    lines = {"engine": [{"name": "log-probs", "status": "ok", "detail": "1e-6 nats"}]}
    said(json.dumps(lines))
    assert verl.doctor_engine(CPU).outcome == "passed"
    said(json.dumps({**lines, "verl": [{"name": "plugin", "status": "fail", "detail": "not registered"}]}))
    found = verl.doctor_engine(CPU)
    assert (found.outcome, found.why) == ("failed", "verl, plugin: not registered")
    assert found.figures == {"lines": 2, "red": 1, "engine": {"log-probs": "1e-6 nats"}}


@pytest.mark.parametrize(("seen", "outcome"), [({}, "passed"), ({"strays": 1}, "failed")])
def test_an_engine_that_strays_fails(monkeypatch, seen, outcome):
    """One greedy trace that is not the model's own is enough."""
    exact = {
        "version": "0.28.0", "device": "cpu", "traces": 16, "strays": 0, "sampled": 3e-6, "shared": 3e-6,
        "actions": {"log-probs": 1024, "prefix cache": 1228},
    }  # fmt: skip
    monkeypatch.setattr(verl.fresh, "call", lambda _: exact | seen)
    assert verl.vllm_hard_decode().outcome == outcome


def test_a_run_that_fails_says_its_last_words(said):
    """The last lines of what it printed, and its exit code."""
    said(stderr="Traceback\n\nValueError: no room\nSet HYDRA_FULL_ERROR=1\n", code=1)
    found = verl.steps_of("halluc_grpo", CPU)
    assert (found.outcome, found.figures) == ("failed", {"exit_code": 1})
    assert found.why == "Traceback / ValueError: no room / Set HYDRA_FULL_ERROR=1"


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_all_checks_pass_on_a_cpu(tmp_path):
    """The doctor, an engine that preempts, and two steps of the recipe in either context."""
    out = tmp_path / "found.json"
    done = subprocess.run(
        [SCRIPT, "--part", "verl", "--cpu", "--out", out], env={**os.environ, "PYTHON": sys.executable},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {line["name"]: line for line in json.loads(out.read_text())["checks"]}
    assert list(checks) == [
        "doctor_engine",
        "vllm_hard_decode",
        "halluc_grpo_steps",
        "halluc_grpo_hard_steps",
    ]
    assert {line["outcome"] for line in checks.values()} == {"passed"}
    for recipe in ("halluc_grpo_steps", "halluc_grpo_hard_steps"):
        assert checks[recipe]["figures"]["answers_logged"] == 2 * 4
