"""With an accelerator and none of our names selected, verl is as it is without halluc."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def look(**environment):
    """What a Python that imports verl as on an NVIDIA host sees."""
    environment = {**os.environ, "VERL_PLATFORM": "nvidia", "OMP_NUM_THREADS": "1", **environment}
    run = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name("look_at_verl.py"))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in run.stdout.splitlines() if line.startswith("SEEN ")]
    assert lines, run.stderr[-3000:]
    return json.loads(lines[0].removeprefix("SEEN "))


@pytest.mark.e2e
def test_registries_gain_names_and_nothing_else_changes():
    """All functions of the modules we wait for are verl's own, and so are platform and environment."""
    (names, registries, changed, device), (stock_names, stock, stock_changed, stock_device) = (
        look(),
        look(VERL_USE_EXTERNAL_PLUGINS="none"),
    )
    differing = {
        f"{module}.{name}"
        for module in names
        for name in names[module]
        if names[module][name] != stock_names[module].get(name)
    }
    assert differing == set()  # validate_config is wrapped, under its own name
    gained = {kind: set(registries[kind]) - set(stock[kind]) for kind in registries}
    assert all(set(stock[kind]) <= set(registries[kind]) for kind in registries)
    assert gained == {
        "platforms": {"cpu"},
        "agent loops": {"backtrack", "refine", "resets"},
        "reward managers": {"backtrack"},
        "estimators": {"backtrack_grpo"},
        "trainers": {"backtrack_sync"},
        "engines": {
            *(f"language_model backtrack_fsdp2 {device}" for device in ("cuda", "npu", "cpu")),
            "language_model fsdp2 cpu",
            "value_model fsdp2 cpu",
        },
    }
    assert changed == stock_changed
    assert device == stock_device == "cuda"
