"""Stage 7: train on a model's right answers alone, or also on its wrong ones, taken back and corrected."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import Context, collapse
from halluc_plugin.metrics import maj_at_k, pass_at_k
from halluc_plugin.own_errors.corrections import Collected, CorrectionSettings, Depth, collect
from halluc_plugin.recipes.lab.judging import judged_cell
from halluc_plugin.recipes.self_backtracking.answering import (
    BATCH,
    SEARCH_TEMPERATURE,
    decoded,
    load,
    rounded,
    sampled,
)
from halluc_plugin.recipes.self_backtracking.bench import Bench
from halluc_plugin.recipes.self_backtracking.masking import clean_model
from halluc_plugin.sampling.hf import HFSampler

STAGE = "7-corrections"
MARKER = "?\n"
START, RIGHT, RETRIED = "start", "right only", "right, retried ones too"
TOKEN, WHOLE, WORDS = (
    "wrong to right, from the error",
    "wrong to right, whole answer",
    "wrong to right, words",
)
FILES = {TOKEN: "error", WHOLE: "answer", WORDS: "words"}


def run_stage(bench: Bench) -> Iterator[dict[str, Any]]:
    """Train the clean model on its own right answers, and on corrections by token or in words."""
    start = clean_model(bench)
    arms = {START: start}
    found = {arm: _collect(bench, start, arm) for arm in FILES}
    retried = [found[TOKEN][0], _without_errors(bench, found[TOKEN][1])]
    for name, files in {RIGHT: found[TOKEN][:1], RETRIED: retried, **found}.items():
        folder = "7-" + name.replace(", ", "-").replace(" ", "-")
        arms[name] = bench.trained(folder, files, steps=bench.scale.tune_steps, start=start)
    for name, folder_ in arms.items():
        measure = partial(_measure, bench, folder_, found)
        yield bench.cell(STAGE, name, partial(measure, edits=name in (TOKEN, WHOLE))) | {"arm": name}
        if name in (TOKEN, WHOLE):
            banned = f"{name}, banned"
            yield bench.cell(STAGE, banned, partial(measure, edits_banned=True)) | {"arm": banned}


def _without_errors(bench: Bench, corrected: Path) -> Path:
    """The right answers of corrections, as if nothing had been wrong before."""
    path = corrected.with_name("error-retried.parquet")
    if not path.exists():
        rows = read_traces(corrected, bench.tokenizer)
        kept = (TraceRow(row.prompt_ids, collapse(row.response_ids, bench.vocab)) for row in rows)
        write_traces(path, kept, bench.tokenizer)
    return path


def _collect(bench: Bench, start: Path, arm: str) -> list[Path]:
    """Files of right answers, and of corrections."""
    marker = tuple(bench.tokenizer.encode(MARKER)) if arm == WORDS else None
    depth = Depth.ERROR if arm == TOKEN else Depth.ANSWER
    settings = CorrectionSettings(bench.scale.attempts, depth, Context.HARD, marker)
    paths = [bench.folder / "data" / f"{FILES[arm]}-{what}.parquet" for what in ("right", "corrected")]
    if not all(path.exists() for path in paths):
        problems = bench.asked(bench.pool)
        space = bench.space(temperature=SEARCH_TEMPERATURE, edits_banned=True)
        model = load(start)
        sampler = HFSampler(model, space, batch_size=BATCH, seed=bench.seed)
        with rounded(model):
            collected: Sequence[Collected] = collect(problems, sampler, space, bench.tokenizer, settings)
        write_traces(paths[0], chain.from_iterable(c.right for c in collected), bench.tokenizer)
        write_traces(paths[1], chain.from_iterable(c.corrected for c in collected), bench.tokenizer)
    return paths


def _measure(
    bench: Bench,
    folder: Path,
    found: Mapping[str, Sequence[Path]],
    *,
    edits: bool = False,
    edits_banned: bool = False,
) -> dict[str, Any]:
    model, problems = load(folder), bench.asked(bench.clean.test[0])
    draw = partial(sampled, bench, model, problems, answer=_answer, edits_banned=edits_banned)
    cell: dict[str, Any] = {
        "rows": {
            arm: [len(read_traces(path, bench.tokenizer)) for path in paths] for arm, paths in found.items()
        },
        "greedy": {"correct": [int(s.correct[0]) for s in draw(temperature=0.0, copies=1)]},
    }
    samples = draw(temperature=SEARCH_TEMPERATURE, copies=bench.scale.answers)
    cell["tokens"] = sum(sum(s.tokens) for s in samples) / (len(samples) * bench.scale.answers)
    ks = [k for k in (1, 2, 4, 8, 16, 32) if k <= bench.scale.most_k]
    cell["pass"] = {str(k): vars(pass_at_k(samples, k)) for k in ks}
    cell["maj"] = {str(k): vars(maj_at_k(samples, k)) for k in ks}
    if edits:
        traces = decoded(bench, model, problems, temperature=SEARCH_TEMPERATURE)
        cell["edits"] = judged_cell(traces, problems, bench.tokenizer, bench.vocab)
    return cell


def _answer(text: str) -> str:
    """What stands behind the last marker."""
    return text.rpartition(MARKER)[-1]
