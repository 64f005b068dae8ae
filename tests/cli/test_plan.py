"""`halluc doctor --plan`: what it prints, and what it refuses in one line."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from tests.planning.measured_step import small_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a config and nothing else."""
    place = tmp_path_factory.mktemp("model")
    small_config(rows=1000, hidden=64, layers=2).save_pretrained(place)
    return place


def _ask(*arguments):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def test_a_plan_is_printed_side_by_side(folder, monkeypatch):
    """Both tables have a column for each kind of run, and what is assumed stands below."""
    monkeypatch.setenv("COLUMNS", "140")
    told = _ask("--plan", folder, "--gpus", 2, "--train-batch", 4, "--n", 2).output
    heading = next(line for line in told.splitlines() if "GB on each device" in line)
    assert [part.strip() for part in heading.strip("┃").split("┃")][1:] == [
        "GRPO", "soft", "soft, edits limited", "hard",
    ]  # fmt: skip
    assert "update: the largest" in told
    assert "seconds of a step" in told
    assert "(assumed)" in told


def test_a_plan_as_json(folder):
    """All options reach the plan, and the numbers are a program's to read."""
    found = _ask(
        "--plan", folder, "--gpus", 4, "--train-batch", 8, "--n", 4, "--prompt", 100, "--response", 200,
        "--mean-response", 50, "--tokens-per-gpu", 600, "--no-checkpointing", "--model-dtype", "bf16",
        "--offload-weights", "--offload-optimizer", "--reference", "--fsdp-size", 2, "--lora-rank", 8,
        "--tp", 2,
        "--memory-utilization", 0.7, "--device", "a100", "--device-memory", 40, "--rollout-speed", 100,
        "--update-speed", 200, "--json",
    )  # fmt: skip
    record = json.loads(found.output)
    assert record["run"] == {
        "gpus": 4, "prompts": 8, "samples": 4, "prompt": 100, "response": 200, "mean_response": 50,
        "tokens_per_gpu": 600, "micro_batch": None, "checkpointing": False, "weights": "bf16",
        "compute": "bf16", "sharded": True, "fsdp_size": 2, "offload_weights": True,
        "offload_optimizer": True, "reference": True,
        "low_rank": 8, "tensor_parallel": 2, "memory_utilization": 0.7, "batched_tokens": 8192,
        "most_requests": 256,
    }  # fmt: skip
    assert record["device"] == {"name": "a100", "memory": 40e9, "flops": 312e12, "bandwidth": 2.039e12}
    seconds = record["columns"]["hard"]["seconds"]
    assert seconds["rollout"] == 32 * 50 / 400
    assert seconds["update"] == 32 * 150 / 800


def test_a_plan_that_does_not_fit_says_what_to_change(folder):
    """It is told below the tables, by the name of the column."""
    told = _ask("--plan", folder, "--gpus", 1, "--tokens-per-gpu", 2_000_000, "--device-memory", 1).output
    assert "hard does not fit: take fewer tokens a micro-batch (--tokens-per-gpu)." in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--plan", "no-such-model"], "There is no model 'no-such-model' here"),
        (["--plan", "FOLDER", "--response", "8000"], "8512 positions"),
        (["--plan", "FOLDER", "--gpus", "8", "--tp", "3"], "engines of 3 devices"),
        (["--plan", "FOLDER", "--device", "tpu"], "no device 'tpu'"),
        (["--gpus", "8", "--offload-weights"], "--gpus, --offload-weights without --plan"),
        (["--plan", "FOLDER", "--model", "FOLDER"], "--model means nothing with --plan"),
        (["--plan", "FOLDER", "--engine"], "--engine means nothing with --plan"),
    ],
)
def test_what_is_wrong_is_one_line(folder, arguments, told):
    """The command ends with 2, with the cause and the cure and no traceback."""
    code = "from halluc_plugin.cli.app import main; main()"
    given = [str(folder) if argument == "FOLDER" else argument for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert sum(told in line for line in done.stderr.splitlines()) == 1
    assert "Fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
