"""Make predictions for each pair, then train it, and compare the results with the predictions.

    python -m halluc_plugin.recipes.assess_validation.run --out outputs/assess_validation

Each model, assessment and result is kept, so an interrupted run can be resumed. A result names the hash of
the predictions, which were on disk before its training began.
"""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin import prepare
from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError
from halluc_plugin.jobs.assess.job import ASSESSMENT, HASH, AssessJob, assess, read_assessment, told_hash
from halluc_plugin.jobs.assess.predictions import Detection
from halluc_plugin.jobs.phases import PhaseJob, measure
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.assess_validation.pairs import PAIRS, Pair, Scale
from halluc_plugin.recipes.assess_validation.scores import draw_pairs, pairs_table, scores_table
from halluc_plugin.recipes.lab.keeping import keep_scale, kept_cell, kept_model
from halluc_plugin.recipes.lab.reporting import report_table
from halluc_plugin.scratch.model import new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.theory.search_law import Unit
from halluc_plugin.tokens.loading import load_model, load_tokenizer
from halluc_plugin.training import fine_tune
from halluc_plugin.training.settings import TrainSettings

SCALE = Scale()
TOGETHER = 32


def main(
    out: Annotated[Path, typer.Option(help="Folder for data, models, predictions and results.")],
    pair: Annotated[
        list[str] | None, typer.Option(help="Pair; give it again for more.", show_default="all")
    ] = None,
) -> None:
    """Run all pairs, or some: a start, its assessment, training on edits, the comparison."""
    known = {each.name: each for each in PAIRS}
    for name in pair or ():
        if name not in known:
            raise SettingsError(f"There is no pair {name!r}.", f"Pass one of {', '.join(known)}.")
    out.mkdir(parents=True, exist_ok=True)
    keep_scale(out, SCALE)
    chosen = [known[name] for name in pair] if pair else list(PAIRS)
    cells = [
        kept_cell(out / each.name / "result.json", partial(_cell, each, out / each.name)) for each in chosen
    ]
    report_table(pairs_table(cells), "pairs", out)
    report_table(scores_table(cells), "scores", out)
    write_whole(out / "tables" / "cells.json", json.dumps(cells) + "\n")
    draw_pairs(cells, out / "tables" / "pairs.png")


def _cell(pair: Pair, folder: Path) -> dict[str, Any]:
    files = {edits: _data(pair, folder, edits=edits) for edits in (False, True)}
    test = files[True].problems("test")
    start = kept_model(folder / "start", partial(_train, None, files[False].traces, pair.clean()))
    predictions = folder / "assessment"
    if not (predictions / ASSESSMENT).exists():
        job = AssessJob(
            str(start), test, predictions, samples=SCALE.samples, edits=SCALE.edits, limit=SCALE.test,
            max_tokens=SCALE.max_tokens,
        )  # fmt: skip
        assess(job, TOGETHER, show_progress)
    told = read_assessment(predictions / ASSESSMENT)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    edited = kept_model(folder / "edited", partial(_train, start, files[True].traces, pair.edited(SCALE)))
    phase = measure(
        edited,
        PhaseJob(
            test, SCALE.test, SCALE.max_tokens, context=Context.HARD, max_backtracks=SCALE.edits,
        ),
    ).phase  # fmt: skip
    asked = {"unit": Unit.STEP, "context": Context.HARD, "detection": Detection.SEEN}
    (predicted,) = [p for p in told["predictions"] if all(p[key] == value for key, value in asked.items())]
    steps = told["measured"]["steps"]
    return {
        "pair": pair.name,
        "predicted_at": told["date"],
        HASH: told_hash(predictions / ASSESSMENT),
        "began": began,
        "before": told["measured"]["accuracy"]["value"],
        "live": 1 - sum(step["dead"]["value"] for step in steps) / len(steps),
        "predicted": predicted["success"],
        "predicted_tokens": predicted["tokens"],
        "observed": phase.accuracy,
        "observed_tokens": phase.tokens,
        "banned": phase.accuracy_banned,
        "p_edit_dead": phase.p_edit_dead,
        "p_edit_live": phase.p_edit_live,
        "n": phase.n,
    }


def _data(pair: Pair, folder: Path, *, edits: bool) -> Any:
    data, where = pair.data(SCALE, edits=edits), folder / ("edits" if edits else "clean")
    return data.write(where, editing_tokenizer("step"), show_progress)


def _train(start: Path | None, traces: Path, settings: TrainSettings, out: Path) -> None:
    if start is None:
        tokenizer = editing_tokenizer("step")
        model = new_model(tokenizer, prepare.SIZE, seed=settings.seed)
    else:
        tokenizer, model = load_tokenizer(str(start)), load_model(str(start))
    fine_tune(model, tokenizer, [traces], settings, out)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
