"""The tasks: problems to train and to test on, and the supervised models that the arms start from."""

from enum import StrEnum
from pathlib import Path

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.problem_sets.search_trace_settings import Memory, Notice, SearchTraceSettings
from halluc_plugin.problem_sets.step_files import StepFiles
from halluc_plugin.problem_sets.steps import Sizes, StepSplit
from halluc_plugin.progress_bar import show_progress
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
from halluc_plugin.tasks.word.problems import WordProblems

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
    WORD = "word"
    """Word problems with two blanks, a search; ``new`` problems have words that never occur in training."""


def start_model(bench: Bench, task: Task, start: Start) -> Path:
    """Return the supervised model of a task, trained on first use."""
    if task is not Task.COUNTDOWN:
        return _step_model(bench, task, start)
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


def _step_model(bench: Bench, task: Task, start: Start) -> Path:
    name, steps = f"credit-{task}-{start.replace(', ', '-')}", round(SHARE * bench.models.steps)
    traces = _FILES[task](bench, 0 if start.clean else 1)[0]
    if start in {Start.CORRECTING_LOW_RANK, Start.CLEAN_LOW_RANK}:
        return tuned_model(bench, name, _step_model(bench, task, Start.CLEAN), traces, steps=steps)
    return bench.trained(name, [traces], steps=steps, context=start.context)


def clean_traces(bench: Bench, task: Task) -> Path:
    """Return the file of right traces of the training problems, which take nothing back."""
    return bench.clean.traces if task is Task.COUNTDOWN else _FILES[task](bench, 0)[0]


def problem_files(bench: Bench, task: Task) -> tuple[Path, Path, Path]:
    """Return the files of training problems, of held-out ones like them, and of those of another kind."""
    if task is not Task.COUNTDOWN:
        _, *files = _FILES[task](bench, 0)
        return files[0], files[1], files[2]
    return (bench.clean.train, *bench.clean.test)


def _chains(bench: Bench, backtracking: float) -> list[Path]:
    """Traces, training problems, test problems, longer ones."""
    task = ChainProblems(MODULUS, sizes=SIZES, seed=bench.seed)
    files = chain_files(bench, task, f"chain-mod{MODULUS}", backtracking=backtracking)
    return [files.traces, *map(files.problems, (StepSplit.TRAIN, StepSplit.TEST, StepSplit.TEST_LONG))]


def _words(bench: Bench, backtracking: float) -> list[Path]:
    """Traces, training problems, test problems, new words."""
    files = StepFiles(bench.folder / "data" / f"word-{backtracking:g}", "word")
    problems = WordProblems(states=10, letters=3, starts=4, length=3, blanks=2, seed=bench.seed)
    if not files.card.exists():
        # No memory: in hard context what was tried is not seen.
        traces = SearchTraceSettings(memory=Memory.NONE, notice=Notice.AT_ONCE, rate=0.6, tries=2)
        request = SearchRequest(bench.models.train, bench.scale.test, backtracking, traces)
        SearchData(problems, request).write(files.root, bench.tokenizer, show_progress)
    return [files.traces, *map(files.problems, problems.splits)]


_FILES = {Task.CHAIN: _chains, Task.WORD: _words}
