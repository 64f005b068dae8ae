"""Checks that need verl and vLLM: the engine rewinds exactly, the recipe trains in soft and hard context."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.acceptance.record import Check, Finding, Outcome, judged
from halluc_plugin.doctor import engine, fresh
from halluc_plugin.edits import Context
from halluc_plugin.run_metrics import RunMetrics, read_run
from halluc_plugin.trace_log import logged_steps, read_step

STEPS = 2
LONGEST_S, LONGEST_S_ON_CPU = 300, 1200
"""Seconds that one command may take; a CPU may have other work beside."""
RECIPES = {Context.SOFT: "halluc_grpo", Context.HARD: "halluc_grpo_hard"}
SMALL = (
    "halluc.prepare.train_problems=60", "halluc.prepare.test_problems=8",
    "halluc.prepare.warm_start_steps=40", "++halluc.report.problems=0", "data.train_batch_size=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4", "actor_rollout_ref.rollout.n=4",
    f"trainer.total_training_steps={STEPS}", f"trainer.test_freq={STEPS}", f"trainer.save_freq={STEPS}",
)  # fmt: skip
"""Overrides that make the recipe as small as it gets; what it learns is not asked."""
DRIFT_ON_CPU = 1e-4
"""Largest accepted difference of a log-prob in engine and actor, in nats, in float32. In half precision the
recipe's own guard judges it."""
BLOCKS = 24
"""Blocks of 32 tokens in the engine's cache: too few for twelve answers of up to 160 tokens, so that some are
preempted."""


def checks(device: torch.device) -> Mapping[str, Check]:
    """Return the checks by name, in the order in which they are run.

    Args:
        device: An accelerator, or the CPU.
    """
    return {
        "doctor_engine": partial(doctor_engine, device),
        "vllm_hard_decode": vllm_hard_decode,
        **{f"{recipe}_steps": partial(steps_of, recipe, device) for recipe in RECIPES.values()},
    }


def doctor_engine(device: torch.device) -> Finding:
    """Check that ``halluc doctor --engine`` has no red line.

    Args:
        device: The device that it is run on.
    """
    code = "from halluc_plugin.cli.app import main; main()"
    done = _run([sys.executable, "-c", code, "doctor", "--engine", "--json"], Path.cwd(), device, {})
    rooms = json.loads(done.stdout)
    lines = [(room, line) for room, told in rooms.items() for line in told]
    red = [f"{room}, {line['name']}: {line['detail']}" for room, line in lines if line["status"] == "fail"]
    told = {line["name"]: line["detail"] for room, line in lines if room == "engine"}
    figures = {"lines": len(lines), "red": len(red), "engine": told}
    return Finding(Outcome.FAILED if red else Outcome.PASSED, figures, "; ".join(red))


def vllm_hard_decode() -> Finding:
    """Check that an engine which preempts answers, compiled where it can be, decodes as transformers does."""
    seen = fresh.call("halluc_plugin.acceptance.verl:observe")
    figures = {
        "traces": seen["traces"], "strays": seen["strays"], "sampled_nats": seen["sampled"],
        "prefix_cache_nats": seen["shared"], "actions": sum(seen["actions"].values()),
        "device": seen["device"],
    }  # fmt: skip
    bars = {"strays": 0, "sampled_nats": engine.TOLERANCE, "prefix_cache_nats": engine.TOLERANCE}
    return judged(figures, bars)


def observe() -> dict[str, Any]:
    """Try the engine with little room in its cache, and CUDA graphs on an accelerator.

    It is called in a Python process of its own.

    Returns:
        What :func:`halluc_plugin.doctor.engine.observe` returns.
    """
    eager = not torch.accelerator.is_available()
    return engine.observe(num_gpu_blocks_override=BLOCKS, enforce_eager=eager)


def steps_of(recipe: str, device: torch.device) -> Finding:
    """Run two steps of a recipe by verl's own command, and check that all is logged and nothing lost.

    Args:
        recipe: The name of the recipe.
        device: The device that it is run on.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, "-m", "verl.trainer.main_ppo", f"+recipe={recipe}", *SMALL]
        told = {"HALLUC_HOME": str(folder / "home"), "COLUMNS": "200"}
        # verl's choice of a platform; Ray presents the CPU as a device, so none may be hidden from it.
        told |= {"VERL_PLATFORM": "cpu"} if device.type == "cpu" else {}
        done = _run(command, folder, device, told)
        if done.returncode:
            return Finding(Outcome.FAILED, {"exit_code": done.returncode}, _last_words(done))
        run = folder / "checkpoints" / "halluc" / recipe
        return _judged(read_run(run), run, device)


def _judged(metrics: RunMetrics, run: Path, device: torch.device) -> Finding:
    logged = [answer for path in logged_steps(run).values() for answer in read_step(path)]
    peaks = metrics.peak_memory or {}
    figures: dict[str, Any] = {
        "steps_missing": STEPS - len([step for step in metrics.steps if step > 0]),
        "failed_prompts": sum(metrics.values("backtrack/failed_prompts").values()),
        "drift_nats": max(metrics.values("backtrack/engine_drift_max").values(), default=float("nan")),
        "answers_logged": len(logged),
        "events_logged": sum(len(answer.record.events) for answer in logged),
        "tokens_per_second": metrics.tokens_per_second,
        "seconds_per_step": list(metrics.values("perf/time_per_step").values()),
        **{f"peak_{place}_gib": peak for place, peak in peaks.items()},
    }
    bars: dict[str, float] = {"steps_missing": 0, "failed_prompts": 0}
    if device.type == "cpu":
        bars["drift_nats"] = DRIFT_ON_CPU
    return judged(figures, bars)


def _run(
    command: list[str], folder: Path, device: torch.device, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run one of our own commands, from the checkout that this module is in."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    return subprocess.run(  # noqa: S603 - our own commands
        command, cwd=folder, env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True, text=True, check=False,
        timeout=LONGEST_S_ON_CPU if device.type == "cpu" else LONGEST_S,
    )  # fmt: skip


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return " / ".join(lines[-3:])
