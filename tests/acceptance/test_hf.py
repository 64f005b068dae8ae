"""``scripts/accept_gpu.sh --part hf`` on a CPU, with torch and transformers alone."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from halluc_plugin.acceptance import hf, policies
from halluc_plugin.edits import Context
from halluc_plugin.vllm_engine.request import EditRequest

SCRIPT = Path(__file__).parents[2] / "scripts" / "accept_gpu.sh"
CPU = torch.device("cpu")
WITHOUT = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {absent}:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
"""


def needed_by(*names):
    """The distributions that an installation of these brings."""
    found, left = set(), [*names]
    while left:
        name = canonicalize_name(left.pop())
        if name not in found:
            found.add(name)
            try:
                asked = map(Requirement, requires(name) or ())
            except PackageNotFoundError:
                continue
            left += [one.name for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def accept(*arguments, **environment):
    """Run the script."""
    return subprocess.run(
        [SCRIPT, *arguments], env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """What it writes where neither verl, vLLM nor any other requirement of ours is installed."""
    folder = tmp_path_factory.mktemp("acceptance")
    there = needed_by("torch", "transformers")
    absent = [
        name for name, owners in packages_distributions().items()
        if not {canonicalize_name(owner) for owner in owners} & {*there, "halluc"}
    ]  # fmt: skip
    assert {"verl", "vllm", "numba", "pyarrow", "omegaconf", "pytest"} <= {*absent}
    (folder / "sitecustomize.py").write_text(WITHOUT.format(absent={*absent}))
    done = accept("--part", "hf", "--cpu", "--out", str(folder / "found.json"), PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text())


def test_all_checks_pass_but_one_that_a_cpu_has_not(record):
    """The backward pass of flex attention is skipped on a CPU, with the reason."""
    outcomes = {line["name"]: line["outcome"] for line in record["checks"]}
    assert outcomes == {
        "hard_attention": "passed", "flex_forward": "passed", "flex_backward": "skipped",
        "hard_decode": "passed", "packed_step": "passed", "packed_memory": "passed",
    }  # fmt: skip
    (why,) = [line["why"] for line in record["checks"] if line["outcome"] == "skipped"]
    assert why == "skipped on CPU: torch has no backward pass of flex attention there"


def test_the_record_has_hardware_versions_and_figures(record):
    """Names, versions and seconds; the memory of the packed step is what ``doctor --plan`` says."""
    assert (record["part"], record["hardware"]["device"]) == ("hf", "cpu")
    assert record["versions"].keys() >= {"python", "torch", "transformers"}
    figures = {line["name"]: line["figures"] for line in record["checks"]}
    assert figures["hard_attention"]["actions"] > 50
    memory = figures["packed_memory"]
    assert memory["packed_mib"] < memory["full_logits_mib"] / 2
    assert memory["planned_mib"] == pytest.approx(memory["packed_mib"], rel=0.15)


def test_a_wrong_oracle_is_noticed(monkeypatch):
    """Log-probs in soft context are not those of hard context: all that compares with them fails."""
    replay = hf.replay
    soft = EditRequest(policies.VOCAB, context=Context.SOFT)
    monkeypatch.setattr(hf, "replay", lambda model, prompt, ids, _: replay(model, prompt, ids, soft))
    checks = hf.checks(CPU)
    assert checks["hard_attention"]().outcome == "failed"
    assert checks["hard_decode"]().outcome == "failed"


def test_wrong_padded_rows_are_noticed(monkeypatch):
    """Log-probs and gradients are both compared."""
    padded = hf.padded_scores
    monkeypatch.setattr(hf, "padded_scores", lambda *given: [2 * scores for scores in padded(*given)])
    found = hf.checks(CPU)["packed_step"]()
    assert {"sdpa_nats", "sdpa_gradient"} <= {part.split(" is")[0] for part in found.why.split("; ")}


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator")
def test_without_an_accelerator_it_says_so(tmp_path):
    """One line with what to do, and no file."""
    done = accept("--part", "hf", "--out", str(tmp_path / "found.json"))
    assert done.returncode == 2
    assert done.stderr == (
        "torch finds no accelerator on this machine. Fix: Run it where there is one, or try it with --cpu.\n"
    )
    assert not (tmp_path / "found.json").exists()
