"""Real engines, started once for all tests that ask."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halluc_plugin.vllm_engine.equivalence import random_model


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    """Folder of the tiny random model."""
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="session")
def model(model_path):
    """The reference, saved in ``model_path``."""
    return random_model(model_path)


@pytest.fixture(scope="session")
def results(model, model_path, tmp_path_factory):
    """What the engines of rewind_on_cpu.py answered, by scenario."""
    written = tmp_path_factory.mktemp("results") / "results.json"
    script = Path(__file__).with_name("rewind_on_cpu.py")
    done = subprocess.run(
        [sys.executable, str(script), str(model_path), str(written)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(written.read_text())
