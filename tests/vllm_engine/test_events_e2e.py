"""Whatever happens to its scheduler, an engine that rewinds answers as a model without a cache."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm")
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SECONDS = int(os.environ.get("HALLUC_EVENTS_SECONDS", "600"))
"""How long new examples are tried."""
HAPPENED = (
    "actions", "edits", "rewinds", "preemptions", "resumed", "chunks", "prefix hits", "readers", "turns",
    "n > 1", "given up in between", "sessions", "parts", "cache emptied", "shared blocks left alone",
)  # fmt: skip
WRONG_BLOCK = "log-probs are off|a block has another's hash|more blocks are published than are full"
"""Whichever of these is seen first."""


@pytest.fixture
def attempt(model, model_path, tmp_path):
    """Tries an engine of a kind for so many seconds; what is said of it, and what happened."""

    def attempt(way, seconds=0):
        script, written = Path(__file__).with_name("events_on_cpu.py"), tmp_path / "counts.json"
        done = subprocess.run(
            [sys.executable, str(script), str(model_path), str(written), str(seconds), way],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stderr, json.loads(written.read_text()) if written.exists() else None

    return attempt


@pytest.mark.parametrize("way", ["sound", "asynchronous"])
def test_answers_are_exact_whatever_happens(attempt, way):
    """Examples that are always the same: each event occurs, each answer is exact, each block comes back."""
    said, counts = attempt(way)
    assert counts is not None, said[-6000:]
    assert {event: counts.get(event, 0) for event in HAPPENED if not counts.get(event)} == {}


@pytest.mark.timeout(SECONDS + 900)
def test_answers_are_exact_for_ten_minutes(attempt, record_property):
    """New examples each time: what breaks an engine is printed as the shortest course of events that does."""
    said, counts = attempt("sound", SECONDS)
    assert counts is not None, said[-6000:]
    record_property("counts", counts)  # what happened is in the XML report
    assert counts["seconds"] >= SECONDS


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("poisoned", WRONG_BLOCK),
        ("forgetful", "a hash is stale or missing"),
        ("greedy", WRONG_BLOCK),
        ("leaky", "are kept"),
    ],
)
def test_planted_faults_are_found(attempt, fault, message):
    """A cache that is forgotten, stale hashes, shared blocks that are written to, and state that stays."""
    said, counts = attempt(fault)
    assert counts is None
    assert re.search(message, said), said[-6000:]
