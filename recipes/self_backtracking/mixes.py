"""Stages 2 and 6: how many backtracking traces, which errors, and whether the token comes where it should."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from halluc_plugin.recipes.self_backtracking.answering import load, searched_cells
from halluc_plugin.recipes.self_backtracking.bench import Bench, paper_traces
from halluc_plugin.recipes.self_backtracking.contexts import emitted, held_out, own
from halluc_plugin.recipes.self_backtracking.masking import correcting_model
from halluc_plugin.recipes.self_backtracking.searching import ROUNDS, models
from halluc_plugin.tasks.countdown.errors import ErrorMix
from halluc_plugin.tasks.countdown.problems import Split, generate
from halluc_plugin.tasks.countdown.traces import TraceSettings, TraceWriter

STAGE, EMISSION_STAGE = "2-mixes", "6-emission"
MIXES = {
    # name: backtracking traces for each clean one, weights of exploration : computational : rule errors
    "1:0.5, 1:2:2": (0.5, ErrorMix(1, 2, 2)),
    "1:1, 1:2:2": (1.0, ErrorMix(1, 2, 2)),
    "1:2, 1:2:2": (2.0, ErrorMix(1, 2, 2)),
    "1:1, 1:1:1": (1.0, ErrorMix(1, 1, 1)),
    "1:1, 1:0:0": (1.0, ErrorMix(1, 0, 0)),
}


def run_stage(bench: Bench) -> Iterator[dict[str, Any]]:
    """Train a model for each mixture, and search with it."""
    problems = bench.asked(bench.clean.test[0])
    for name in MIXES:
        folder = mixed_model(bench, name)

        def measure(folder: Path = folder) -> dict[str, Any]:
            model = load(folder)
            return {
                "searches": searched_cells(bench, model, problems, bench.scale.mix_samples, ROUNDS),
                "own": emitted(bench, model, own(bench, model, problems, paper_traces().edit)),
            }

        yield bench.cell(STAGE, name, measure) | {"arm": name}


def mixed_model(bench: Bench, name: str) -> Path:
    """Return the small model of a mixture."""
    ratio, mix = MIXES[name]
    folder = "mix-" + name.replace(", ", "-").replace(":", "_")
    files = bench.countdown(folder, backtracking=ratio, traces=paper_traces(mix))
    return bench.trained(f"2-{folder}", [files.traces])


def run_emission(bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure the rate of edits after held-out errors, after the model's own, and where nothing is wrong."""
    large = bench.of(large=True)
    for name, of, find, traces in (
        ("back, stage 1", large, partial(back_model, large), paper_traces()),
        ("back, stage 2", bench, partial(mixed_model, bench, "1:1, 1:2:2"), paper_traces()),
        ("correcting, stage 3", bench, partial(correcting_model, bench), TraceSettings()),
    ):
        yield bench.cell(EMISSION_STAGE, name, partial(_emission, of, find(), traces)) | {"arm": name}


def back_model(bench: Bench) -> Path:
    """Return the model of stage 1 that backtracks."""
    return models(bench)[2]


def _emission(bench: Bench, folder: Path, traces: TraceSettings) -> dict[str, Any]:
    problems, model = bench.asked(bench.clean.test[0]), load(folder)
    drawn = generate(bench.settings, Split.TEST_SEEN, bench.scale.test)
    writer = TraceWriter(bench.tokenizer, bench.vocab, bench.settings, traces)
    places = held_out(bench, drawn, [problem.prompt for problem in problems], writer, traces.edit)
    return {
        "held out": emitted(bench, model, places),
        "own": emitted(bench, model, own(bench, model, problems, traces.edit)),
    }
