"""The tasks: problems to train and to test on, and the supervised models that the arms start from."""

from enum import StrEnum
from pathlib import Path

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.problem_sets.steps import Sizes, StepSplit
from halluc_plugin.recipes.credit.arms import Start
from halluc_plugin.recipes.self_backtracking.bench import MAX_TOKENS, Bench
from halluc_plugin.recipes.self_backtracking.masking import (
    clean_model,
    correcting_model,
    correcting_traces,
    low_rank_model,
    tuned_model,
)
from halluc_plugin.recipes.self_backtracking.transfer import chain_files
from halluc_plugin.tasks.chain.problems import ChainProblems

SIZES = Sizes(2, 4, 5)
MODULUS, SHARE = 17, 0.5
"""The modulus of chains, and the share of Countdown's optimizer steps. With all of them a small model knows
every result modulo 17, and almost none modulo 23: without errors there would be nothing to take back."""
assert 6 * SIZES.longest < MAX_TOKENS


class Task(StrEnum):
    """The task whose problems are answered."""

    COUNTDOWN = "countdown"
    CHAIN = "chain"
    """Operations modulo 17, worked out one after the other; ``new`` problems are one operation longer."""


def start_model(bench: Bench, task: Task, start: Start) -> Path:
    """Return the supervised model of a task, trained on first use."""
    if task is Task.CHAIN:
        return _chain_model(bench, start)
    match start:
        case Start.CLEAN:
            return clean_model(bench)
        case Start.CORRECTING:
            return correcting_model(bench, ErasedTokens.MASK)
        case Start.CORRECTING_HARD:
            return bench.trained("credit-correcting-hard", [correcting_traces(bench)], context=start.context)
        case Start.CORRECTING_LOW_RANK:
            return low_rank_model(bench, ErasedTokens.MASK)
        case Start.CLEAN_LOW_RANK:
            return tuned_model(bench, "credit-clean-low-rank", clean_model(bench), bench.clean.traces)


def _chain_model(bench: Bench, start: Start) -> Path:
    name, steps = f"credit-chain-{start.replace(', ', '-')}", round(SHARE * bench.models.steps)
    traces = _chains(bench, 0 if start.clean else 1)[0]
    if start in {Start.CORRECTING_LOW_RANK, Start.CLEAN_LOW_RANK}:
        return tuned_model(bench, name, _chain_model(bench, Start.CLEAN), traces, steps=steps)
    return bench.trained(name, [traces], steps=steps, context=start.context)


def problem_files(bench: Bench, task: Task) -> tuple[Path, Path, Path]:
    """Return the files of training problems, of held-out ones like them, and of those of another kind."""
    if task is Task.CHAIN:
        _, *files = _chains(bench, 0)
        return files[0], files[1], files[2]
    return (bench.clean.train, *bench.clean.test)


def _chains(bench: Bench, backtracking: float) -> list[Path]:
    """Traces, training problems, test problems, longer ones."""
    task = ChainProblems(MODULUS, sizes=SIZES, seed=bench.seed)
    files = chain_files(bench, task, f"chain-mod{MODULUS}", backtracking=backtracking)
    return [files.traces, *map(files.problems, (StepSplit.TRAIN, StepSplit.TEST, StepSplit.TEST_LONG))]
