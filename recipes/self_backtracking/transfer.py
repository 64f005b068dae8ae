"""Stage 8: measure whether a model that saw backtracks in one of two tasks backtracks in the other."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from halluc_plugin.problem_sets.raw_traces import Edit
from halluc_plugin.problem_sets.step_files import StepFiles, StepRequest, write_steps
from halluc_plugin.problem_sets.step_traces import StepTraceSettings, StepTraceWriter
from halluc_plugin.problem_sets.steps import Sizes, StepSplit
from halluc_plugin.problem_sets.steps import generate as generate_steps
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.self_backtracking.answering import decoded_cells, load
from halluc_plugin.recipes.self_backtracking.bench import MAX_TOKENS, Bench
from halluc_plugin.recipes.self_backtracking.contexts import Places, emitted, held_out
from halluc_plugin.recipes.self_backtracking.masking import correcting_traces
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.countdown.problems import Split, generate
from halluc_plugin.tasks.countdown.traces import TraceSettings, TraceWriter

STAGE = "8-transfer"
COUNTDOWN, CHAIN = "countdown", "chain"
SIZES = Sizes(2, 4, 5)  # answers of at most 25 tokens: room for backtracks below MAX_TOKENS
assert 6 * SIZES.largest < MAX_TOKENS


def run_stage(bench: Bench) -> Iterator[dict[str, Any]]:
    """Train three models, with backtracks in no task, in Countdown, or in chains; measure each on both."""
    task = ChainProblems(sizes=SIZES, seed=bench.seed)
    for taught in ("neither", COUNTDOWN, CHAIN):
        folder = _model(bench, task, taught)
        measure = partial(_measure, bench, task, folder)
        yield bench.cell(STAGE, taught, measure) | {"arm": taught}


def chain_files(
    bench: Bench, task: ChainProblems, folder: str = "chain", *, backtracking: float
) -> StepFiles:
    """Return chains, and traces of the training problems, made on first use.

    Args:
        bench: The experiment.
        task: The kind of chains.
        folder: Name of their folder.
        backtracking: Number of traces with errors for each one without.
    """
    files = StepFiles(bench.folder / "data" / f"{folder}-{backtracking:g}", task.name)
    if not files.card.exists():
        request = StepRequest(bench.models.train, bench.scale.test, backtracking, StepTraceSettings())
        write_steps(files.root, task, request, bench.tokenizer, show_progress)
    return files


def _model(bench: Bench, task: ChainProblems, taught: str) -> Path:
    countdown, chain = bench.clean.traces, chain_files(bench, task, backtracking=0).traces
    files = {
        # As many rows of one task as of the other: what is taught has twice as many, the other comes twice.
        "neither": [countdown, chain],
        COUNTDOWN: [correcting_traces(bench), chain, chain],
        CHAIN: [countdown, countdown, chain_files(bench, task, backtracking=1).traces],
    }
    return bench.trained(f"8-{taught}", files[taught])


def _measure(bench: Bench, task: ChainProblems, folder: Path) -> dict[str, Any]:
    model = load(folder)
    cells: dict[str, Any] = {}
    for name, path, places in (
        (COUNTDOWN, bench.clean.test[0], _countdown_places(bench)),
        (
            CHAIN,
            chain_files(bench, task, backtracking=0).problems(StepSplit.TEST),
            _chain_places(bench, task),
        ),
    ):
        cells[name] = decoded_cells(bench, model, bench.asked(path))
        cells[name]["emission"] = emitted(bench, model, places)
    return cells


def _countdown_places(bench: Bench) -> Places:
    drawn = generate(bench.settings, Split.TEST_SEEN, bench.scale.test)
    prompts = [problem.prompt for problem in bench.asked(bench.clean.test[0])]
    writer = TraceWriter(bench.tokenizer, bench.vocab, bench.settings, TraceSettings())
    return held_out(bench, drawn, prompts, writer, Edit.TOKEN)


def _chain_places(bench: Bench, task: ChainProblems) -> Places:
    drawn = generate_steps(task, StepSplit.TEST, bench.scale.test)
    files = chain_files(bench, task, backtracking=0)
    prompts = [problem.prompt for problem in bench.asked(files.problems(StepSplit.TEST))]
    writer = StepTraceWriter(bench.tokenizer, bench.vocab, task, StepTraceSettings())
    return held_out(bench, drawn, prompts, writer, Edit.TOKEN)
