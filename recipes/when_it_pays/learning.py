"""GRPO from starts of a known D: where does it bury the token, where build on it, and can credit teach D."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.when_it_pays.asked import Asked
from halluc_plugin.recipes.when_it_pays.bench import Bench
from halluc_plugin.recipes.when_it_pays.grids import DISCRIMINATION
from halluc_plugin.recipes.when_it_pays.specs import Form, Spec
from halluc_plugin.rl.grpo import METRICS, train_policy
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.run_metrics import logged_records
from halluc_plugin.settings import load
from halluc_plugin.tokens.loading import load_model, on_accelerator

GROUP = 8
"""Answers to a problem in a step of GRPO."""
LEARNING_RATE = 1e-4
CREDIT = 0.5
"""Weight of what an event gained, in the runs that pay for it."""
LEARNED = "learned.json"
CURVE = ("acc", "event_precision", "event_recall", "per_answer", "p_edit_dead", "p_edit_live")


@dataclass(frozen=True)
class Learned:
    """A run of GRPO.

    Attributes:
        start: Name of its start.
        block: What its ``halluc:`` block says besides the context.
        longer: Factor of its steps, for answers that are that much shorter.
    """

    start: str
    block: Mapping[str, Any] = field(default_factory=dict)
    longer: int = 1


def runs() -> Mapping[str, Learned]:
    """Return the runs by name."""
    by_start = {
        f"D {d:g}, {name}": Learned(f"D {d:g}", block)
        for d in DISCRIMINATION
        for name, block in {"outcome": {}, "credit": {"credit": {"alpha": CREDIT}}}.items()
    }
    # Without edits there is nothing to ban, and an answer has a third of the tokens.
    clean = Learned(str(Form.CLEAN), {"max_backtracks": 0}, longer=3)
    return by_start | {"clean, outcome": clean}


def learned(bench: Bench, name: str, run: Learned, spec: Spec, start: Path) -> Path:
    """Return the folder of a model after GRPO, which is run on first use.

    Args:
        bench: The seed.
        name: Name of the run.
        run: Its description.
        spec: The description of its start.
        start: Folder of the start.
    """

    def train(folder: Path) -> None:
        told = bench.seeded(spec)
        problems = generate(told.problems, StepSplit.TRAIN, bench.scale.train)
        asked = Asked(problems, told.problems.sources[0], bench.tokenizer, spec.max_tokens, bench.seed)
        model = on_accelerator(load_model(str(start), dtype="float32"))
        block = {"context": str(spec.form.context), "erased_tokens": "keep", **run.block}
        settings = GrpoSettings(
            steps=bench.scale.rl_steps * run.longer, prompts=bench.scale.rl_prompts, group=GROUP,
            max_actions=spec.max_tokens, learning_rate=LEARNING_RATE, seed=bench.seed,
        )  # fmt: skip
        began = perf_counter()
        train_policy(
            model, bench.tokenizer, asked.posed, load(block), settings, out=folder, progress=show_progress
        )
        write_whole(folder / LEARNED, json.dumps({"seconds": perf_counter() - began}))

    return kept_model(bench.folder(f"learning, {name}") / "model", train)


def seconds(folder: Path) -> float:
    """Return how long a run of GRPO took."""
    return float(json.loads((folder / LEARNED).read_text(encoding="utf-8"))["seconds"])


def curve(folder: Path) -> list[dict[str, float]]:
    """Return what a run logged of its steps."""
    return [
        {"step": line["step"]}
        | {key: line[f"backtrack/{key}"] for key in CURVE if f"backtrack/{key}" in line}
        for line in logged_records(folder / METRICS)
    ]
