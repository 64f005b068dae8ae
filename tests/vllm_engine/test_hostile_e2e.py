"""Nothing a client sends ends the engine, and what of ours fails in it is heard."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm")
pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def hostile(model, model_path, tmp_path_factory):
    """What the engine of hostile_on_cpu.py answered, and what it wrote to stderr."""
    written = tmp_path_factory.mktemp("hostile") / "results.json"
    script = Path(__file__).with_name("hostile_on_cpu.py")
    done = subprocess.run(
        [sys.executable, str(script), str(model_path), str(written)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert written.exists(), done.stderr[-3000:]
    return json.loads(written.read_text()) | {"log": done.stdout + done.stderr}


def test_bad_requests_are_refused_by_the_front_end(hostile):
    """Every one is refused with a message before it is queued, whatever vLLM thinks of it."""
    accepted = [name for name in hostile["refused"] if hostile["said"][name] is None]
    assert not accepted
    assert hostile["said"]["backtrack=100000"] == (
        "VLLMValidationError: halluc_backtrack names id 100000, but the ids of the model end at 47. Fix: "
        "Give an id of the model's tokenizer: halluc doctor --model names those of edit tokens."
    )
    ours = [
        said for name, said in hostile["said"].items() if name.partition("=")[1] and said and "halluc" in said
    ]
    assert len(ours) > 100
    assert all(" Fix: " in said for said in ours)


def test_odd_requests_are_answered(hostile):
    """With all that vLLM offers beside our settings, a request in hard context ends as it should."""
    refused = {name: hostile["said"][name] for name in hostile["odd"] if hostile["said"][name]}
    assert not refused
    reasons = {name: {reason for _, reason in hostile["beside"][name]} for name in hostile["odd"]}
    assert all(reason <= {"stop", "length"} for reason in reasons.values())
    assert len(hostile["beside"]["n"]) == 3
    assert len(hostile["beside"]["max_tokens=1"][0][0]) == 1


def test_good_requests_beside_them_are_answered_as_ever(hostile):
    """Greedy answers are the same ids with and without the others."""
    assert len(hostile["alone"]) == 12
    assert {name: hostile["beside"][name] for name in hostile["alone"]} == hostile["alone"]


def test_a_failing_processor_ends_the_engine_with_its_cause(hostile):
    """What of ours raises in the engine is no answer and no silence: all requests end, the log says why."""
    assert hostile["failure"].startswith("EngineDeadError")
    assert "TraceError: The processor was made to fail. Fix: Do not ask for it." in hostile["log"]
