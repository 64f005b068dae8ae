"""Stages 1 and 4: search with the token against other methods, and likelihood as a sign of right answers."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.trace_files import write_traces
from halluc_plugin.recipes.self_backtracking.answering import MakeSearch, by_rule, load, search
from halluc_plugin.recipes.self_backtracking.bench import Bench, paper_traces
from halluc_plugin.sampling.problems import PosedProblem, text_of
from halluc_plugin.scorers.verdicts import VerdictScorer, verdict_rows
from halluc_plugin.search import (
    Rule,
    breadth_first,
    depth_first,
    greedy,
    independent,
    self_backtracking,
)
from halluc_plugin.search.beams import beam_search
from halluc_plugin.verifiers import Outcome

STAGE, LIKELIHOOD_STAGE = "1-search", "4-likelihood"
ROUNDS = (0, 1)
BEAMS = 8
TREE, DEPTH_BUDGET = 8, 32
VERDICT_SAMPLES = 8
PLAIN = (Rule.MEAN_LOGPROB, Rule.MAJORITY)
GROUPED = (Rule.MEAN_LOGPROB, Rule.MAJORITY, Rule.SUMMED)


def run_stage(bench: Bench) -> Iterator[dict[str, Any]]:
    """Train the models of stage 1 and measure every method on both test sets."""
    bench = bench.of(large=True)
    clean, half, back = models(bench)
    scorer = partial(verdicts, bench, clean)
    for split in bench.clean.test:
        problems = bench.asked(split)
        for name, folder, make, rules, banned in methods(bench, clean, half, back):
            measure = partial(
                _measure, bench, folder, problems, make, rules=rules, scorer=scorer, banned=banned
            )
            yield bench.cell(STAGE, f"{name} {split.stem}", measure) | {"split": split.stem, "arm": name}
        for name, folder in (("sft beam", clean), ("back beam", back)):
            measure = partial(_beams, bench, folder, problems)
            yield bench.cell(STAGE, f"{name} {split.stem}", measure) | {"split": split.stem, "arm": name}


def models(bench: Bench) -> tuple[Path, Path, Path]:
    """Return models on clean data, at equal compute and with half the steps, and one that backtracks.

    Half the steps give an equal number of clean examples.
    """
    traces = bench.countdown("paper", backtracking=1, traces=paper_traces()).traces
    return (
        bench.trained("1-clean", [bench.clean.traces]),
        bench.trained("1-clean-half", [bench.clean.traces], steps=bench.models.steps // 2),
        bench.trained("1-back", [traces]),
    )


def methods(
    bench: Bench, clean: Path, half: Path, back: Path
) -> Iterator[tuple[str, Path, MakeSearch, Sequence[Rule], bool]]:
    """Yield name, model, search, rules of selection, and whether edits are banned, for each method."""
    likeliest = (Rule.MEAN_LOGPROB,)
    yield "sft greedy", clean, greedy, likeliest, False
    yield "sft, equal examples, greedy", half, greedy, likeliest, False
    yield "back greedy", back, greedy, likeliest, False
    yield "back, banned, greedy", back, greedy, likeliest, True
    for n in bench.scale.samples:
        if n > 1:
            voting = (*PLAIN, Rule.VERIFIER)
            yield f"sft sample N={n}", clean, partial(independent, n=n), voting, False
        yield f"back, banned, sample N={n}", back, partial(independent, n=n), PLAIN, True
        for rounds in ROUNDS:
            make = partial(self_backtracking, n=n, rounds=rounds)
            yield f"back search b={rounds} N={n}", back, make, GROUPED, False
    yield "sft breadth-first", clean, partial(breadth_first, proposals=TREE, width=TREE), likeliest, False
    deep = partial(depth_first, proposals=TREE, budget=DEPTH_BUDGET)
    yield "back depth-first", back, deep, likeliest, False


def _measure(
    bench: Bench,
    folder: Path,
    problems: Sequence[PosedProblem],
    make: MakeSearch,
    *,
    rules: Sequence[Rule],
    scorer: Any,
    banned: bool,
) -> dict[str, Any]:
    model = load(folder)
    found = search(bench, model, problems, make, edits_banned=banned)
    judge = scorer() if Rule.VERIFIER in rules else None
    return by_rule(bench, problems, found, model, rules=rules, scorer=judge)


def _beams(bench: Bench, folder: Path, problems: Sequence[PosedProblem]) -> dict[str, Any]:
    model = load(folder)
    found = beam_search(model, [p.prompt for p in problems], bench.space(temperature=1.0), BEAMS)
    return by_rule(bench, problems, found, model)


def verdicts(bench: Bench, clean: Path) -> VerdictScorer:
    """Return a small outcome verifier, trained on the clean model's answers to pool problems."""
    path = bench.folder / "data" / "verdicts.parquet"
    if not path.exists():
        problems = bench.asked(bench.pool)
        found = search(bench, load(clean), problems, partial(independent, n=VERDICT_SAMPLES))
        write_traces(path, verdict_rows(problems, found, bench.tokenizer), bench.tokenizer)
    size, steps = bench.scale.small.size, bench.models.steps // 2
    folder = bench.trained("1-verdict", [path], size=size, steps=steps)
    return VerdictScorer(load(folder), bench.tokenizer)


def _right(bench: Bench, problem: PosedProblem, response: Any) -> bool:
    outcome = problem.verifier.verify(problem.truth, text_of(response, bench.tokenizer))
    return outcome is Outcome.CORRECT


def run_likelihood(bench: Bench) -> Iterator[dict[str, Any]]:
    """Measure how scores go with being right, among samples of the models of stage 1.

    The score is the mean log-probability, and for the clean model's samples also that of stage 1's verifier.
    """
    bench = bench.of(large=True)
    clean, _, back = models(bench)
    problems = bench.asked(bench.clean.test[0])
    n = max(bench.scale.samples)
    sampled = partial(independent, n=n)
    for name, folder, make, scorer in (
        ("sft samples", clean, sampled, None),
        ("sft samples, verifier", clean, sampled, partial(verdicts, bench, clean)),
        ("back search b=0", back, partial(self_backtracking, n=n, rounds=0), None),
        ("back search b=1", back, partial(self_backtracking, n=n, rounds=1), None),
    ):
        measure = partial(_scores, bench, folder, problems, make, scorer=scorer)
        yield bench.cell(LIKELIHOOD_STAGE, name, measure)


def _scores(
    bench: Bench, folder: Path, problems: Sequence[PosedProblem], make: MakeSearch, *, scorer: Any
) -> dict[str, Any]:
    found = search(bench, load(folder), problems, make)
    verifier = None if scorer is None else scorer()
    scores, right, within = [], [], []
    for problem, result in zip(problems, found, strict=True):
        if verifier is None:
            ours = np.array([response.mean_logprob for response in result.responses])
        else:
            ours = np.array(verifier.score(problem.prompt, result.responses))
        verdicts_ = np.array([_right(bench, problem, response) for response in result.responses], dtype=bool)
        scores.append(ours)
        right.append(verdicts_)
        if verdicts_.any() and not verdicts_.all():
            within.append(area_under_roc(ours, verdicts_))
    all_scores, all_right = np.concatenate(scores), np.concatenate(right)
    tenths = np.array_split(np.argsort(all_scores, kind="stable"), 10)
    return {
        "answers": len(all_scores),
        "correlation": _correlation(all_scores, all_right),
        "auc": area_under_roc(all_scores, all_right),
        "auc_within": float(np.mean(within)) if within else float("nan"),
        "auc_within_problems": len(within),
        "deciles": [
            {"score": float(all_scores[part].mean()), "right": float(all_right[part].mean())}
            for part in tenths
            if len(part)
        ],
    }


def _correlation(scores: np.ndarray, right: np.ndarray) -> float:
    both = right.any() and not right.all()
    return float(np.corrcoef(scores, right)[0, 1]) if both else float("nan")


def area_under_roc(scores: np.ndarray, right: np.ndarray) -> float:
    """Return the share of pairs of a right and a wrong answer in which the right one scores higher.

    Ties count half.

    Returns:
        The share, nan if there is no such pair.
    """
    order = np.sort(scores)
    # Mean rank of equal scores.
    ranks = (np.searchsorted(order, scores, "left") + np.searchsorted(order, scores, "right") + 1) / 2
    positives = int(right.sum())
    negatives = len(right) - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[right].sum() - positives * (positives + 1) / 2) / (positives * negatives))
