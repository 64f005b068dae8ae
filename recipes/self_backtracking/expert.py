"""Stage 5: expert iteration on a pool of problems that are in no test set."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.recipes.self_backtracking.answering import load, search, searched_cells
from halluc_plugin.recipes.self_backtracking.bench import Bench, paper_traces
from halluc_plugin.recipes.self_backtracking.contexts import emitted, own
from halluc_plugin.recipes.self_backtracking.masking import clean_model
from halluc_plugin.recipes.self_backtracking.mixes import mixed_model
from halluc_plugin.sampling.problems import text_of
from halluc_plugin.search import self_backtracking
from halluc_plugin.verifiers import ErringVerifier, Outcome

STAGE = "5-expert"
START = "1:1, 1:2:2"
KEPT = 4
"""Distinct right answers that are kept of a problem, the likeliest first."""
RESTART, ACCUMULATE, SUPERVISED = "restart", "accumulate", "supervised only"
ERRING = {f"accumulate, {share} false positives": share for share in (0.05, 0.2)}
"""Arms as ``accumulate`` whose judge takes a share of all wrong answers of the pool for right ones.

Which answers these are is fixed, and those of the smaller share are among those of the larger one. Answers to
test problems are judged without error."""


def run_stage(bench: Bench) -> Iterator[dict[str, Any]]:
    """Start each round from the filtered answers, or continue with all data so far; add two references.

    The references are the base that ``restart`` begins with, and the start with as many further steps on its
    own data. What goes on with all data is also filtered by a judge that errs.
    """
    start = mixed_model(bench, START)
    for name, model in (("start", start), ("base", clean_model(bench))):
        yield bench.cell(STAGE, name, partial(_measure, bench, model)) | {"arm": name, "round": 0}
    for arm in (RESTART, ACCUMULATE, SUPERVISED, *ERRING):
        model = start
        collected: list[Path] = []
        for number in range(1, bench.scale.rounds + 1):
            found = None
            if arm != SUPERVISED:
                found = _collect(bench, model, f"{arm}-{number}", ERRING.get(arm, 0.0))
            if found is not None:
                collected.append(found)
            model = _train(bench, arm, number, model, collected)
            name = f"{arm} {number}"
            measure = partial(_measure, bench, model, found)
            yield bench.cell(STAGE, name, measure) | {"arm": arm, "round": number}


def _train(bench: Bench, arm: str, number: int, before: Path, collected: Sequence[Path]) -> Path:
    steps = bench.scale.tune_steps
    if arm == RESTART:
        base = clean_model(bench)
        if not collected:
            return base
        return bench.trained(f"5-{arm}-{number}", [collected[-1]], steps=steps, start=base)
    supervised = bench.folder / "data" / "mix-1_1-1_2_2" / "countdown" / "traces.parquet"
    return bench.trained(f"5-{arm}-{number}", [supervised, *collected], steps=steps, start=before)


def _collect(bench: Bench, folder: Path, name: str, false_positives: float = 0.0) -> Path | None:
    """Search the pool, and keep what the judge finds right; None where that is nothing."""
    path = bench.folder / "data" / f"expert-{name}.parquet"
    if not path.exists():
        problems = bench.asked(bench.pool)
        make = partial(self_backtracking, n=bench.scale.iteration_samples, rounds=1)
        rows = []
        for problem, result in zip(problems, search(bench, load(folder), problems, make), strict=True):
            distinct = {response.ids: response for response in result.responses}.values()
            judge = ErringVerifier(problem.verifier, false_positives, seed=bench.seed)
            right = [
                response
                for response in sorted(distinct, key=lambda response: -response.mean_logprob)
                if judge.verify(problem.truth, text_of(response, bench.tokenizer)) is Outcome.CORRECT
            ]
            rows += [TraceRow(list(problem.prompt), list(response.ids)) for response in right[:KEPT]]
        if not rows:
            return None
        write_traces(path, rows, bench.tokenizer)
    return path


def _measure(bench: Bench, folder: Path, collected: Path | None = None) -> dict[str, Any]:
    problems, model = bench.asked(bench.clean.test[0]), load(folder)
    return {
        "searches": searched_cells(bench, model, problems, [min(8, bench.scale.iteration_samples)], [1]),
        "own": emitted(bench, model, own(bench, model, problems, paper_traces().edit)),
        **_collected(bench, collected),
    }


def _collected(bench: Bench, path: Path | None) -> dict[str, int]:
    """Count what was kept of the pool, and how much of it is wrong."""
    rows = [] if path is None else read_traces(path, bench.tokenizer)
    pool = {problem.prompt: problem for problem in bench.asked(bench.pool)} if rows else {}
    judged = (
        pool[tuple(row.prompt_ids)].verifier.verify(
            pool[tuple(row.prompt_ids)].truth,
            bench.tokenizer.decode(row.response_ids, skip_special_tokens=True),
        )
        for row in rows
    )
    return {"collected": len(rows), "wrong": sum(outcome is not Outcome.CORRECT for outcome in judged)}
