"""The embedded default: problems and a warm-started small model, made on first use and cached.

Each step is also a command of its own: ``halluc data countdown`` and ``halluc warmstart``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from halluc_plugin.cache import load_or_build
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import PrepareSettings, WarmStartTraces
from halluc_plugin.tasks.countdown.files import CountdownFiles, CountdownRequest, write_countdown
from halluc_plugin.tasks.countdown.problems import CountdownSettings
from halluc_plugin.tasks.countdown.traces import TraceSettings
from halluc_plugin.tokens import BACKTRACK_TOKEN, RESTART_TOKEN, STEP_TOKEN
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.training.settings import TrainSettings

WARM_START = TrainSettings()
# Few traces with errors, and few errors in them: a model this small learns the task from the clean ones.
BACKTRACKING, TRACES = 0.25, TraceSettings(rate=0.3)
SIZE = Size.TINY
TURN = "\n?\n"
"""The request to try again that a model at number level can read: a question mark, behind the new line that
verl writes after the end of a turn of Qwen's."""
SECONDS_BETWEEN_LINES = 10.0
ROWS = 2
"""Raised when the same request comes to give other rows: what was cached before is then made anew."""


def tokenizer_for(traces: WarmStartTraces) -> Any:
    """The number-level tokenizer; the baseline's has no edit token, so that it cannot backtrack."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,) if traces is WarmStartTraces.BACKTRACK else ())


def countdown_data(settings: PrepareSettings) -> CountdownFiles:
    """Problems and traces for these settings, from the cache or made now.

    The problems depend on seed and counts alone: with and without backtracking they are the same.

    Raises:
        SettingsError: So many distinct problems do not exist.
    """
    request = CountdownRequest(
        problems=CountdownSettings(seed=settings.seed),
        train=settings.train_problems,
        test=settings.test_problems,
        backtracking=0.0 if settings.traces is WarmStartTraces.CLEAN else BACKTRACKING,
        traces=TRACES,
    )
    # Turns are made of traces with edits, whose tokenizer has the same ids and one more.
    edits = WarmStartTraces.BACKTRACK if request.backtracking else WarmStartTraces.CLEAN

    def build(folder: Path) -> None:
        _say(f"making {request.train} Countdown problems and their traces")
        write_countdown(folder, request, tokenizer_for(edits), show_progress)

    return CountdownFiles(load_or_build("countdown", asdict(request) | {"rows": ROWS}, build))


def turn_traces(settings: PrepareSettings) -> Path:
    """The traces of :func:`countdown_data` as two attempts each, from the cache or made now."""
    data = countdown_data(settings)
    described = {"data": data.root.name, "turn": TURN}

    def build(folder: Path) -> None:
        from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
        from halluc_plugin.tokens import edit_vocab
        from halluc_plugin.traces import turn_twin

        with_edits, plain = (tokenizer_for(t) for t in (WarmStartTraces.BACKTRACK, WarmStartTraces.TURNS))
        vocab, end, turn = edit_vocab(with_edits), int(plain.eos_token_id), plain.encode(TURN)
        rows = read_traces(data.traces, with_edits)
        twins = ((row, turn_twin(row.response_ids, turn, vocab, end)) for row in rows)
        made = (TraceRow(row.prompt_ids, list(twin.ids), list(twin.erased)) for row, twin in twins)
        write_traces(folder / "traces.parquet", made, plain)

    return load_or_build("countdown-turns", described, build) / "traces.parquet"


def warm_started_model(settings: PrepareSettings) -> Path:
    """The folder of a small model that was fine-tuned on these traces, from the cache or trained now."""
    data = countdown_data(settings)
    in_turns = settings.traces is WarmStartTraces.TURNS
    train = replace(WARM_START, seed=settings.seed, steps=settings.warm_start_steps)
    described = {"data": data.root.name, "size": str(SIZE), "train": _described(train)}

    def build(folder: Path) -> None:
        _say(f"warm-starting a {SIZE} model on {settings.traces} traces, {train.steps} steps")
        traces = turn_traces(settings) if in_turns else data.traces
        warm_start([traces], settings.traces, train, folder)

    return load_or_build(f"warm-start-{settings.traces}", described, build)


def scratch_model(settings: PrepareSettings) -> Path:
    """The folder of a small model with random weights and the tokenizer of these traces, from the cache."""
    described = {"size": str(SIZE), "seed": settings.seed}

    def build(folder: Path) -> None:
        tokenizer = tokenizer_for(settings.traces)
        save_model(new_model(tokenizer, SIZE, seed=settings.seed), tokenizer, folder)

    return load_or_build(f"scratch-{settings.traces}", described, build)


def warm_start(
    files: list[Path], traces: WarmStartTraces, train: TrainSettings, out: Path, *, size: Size = SIZE
) -> dict[str, float]:
    """Train a model from scratch on trace files in the number-level tokenizer's ids.

    Args:
        files: Trace files.
        traces: Whether the tokenizer has the edit token.
        train: How to train; its seed is that of the initial weights too.
        out: Folder for model and tokenizer.
        size: How large the model is.

    Returns:
        As :func:`halluc_plugin.training.fine_tune`.
    """
    from halluc_plugin.training.fine_tuning import fine_tune

    tokenizer = _tokenizer_of(files, traces)
    return fine_tune(new_model(tokenizer, size, seed=train.seed), tokenizer, files, train, out)


def _tokenizer_of(files: list[Path], traces: WarmStartTraces) -> Any:
    """The number-level tokenizer that files were written with: edits may be by step or restart, too."""
    from halluc_plugin.data.parquet import read_metadata
    from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint

    usual = tokenizer_for(traces)
    if traces is not WarmStartTraces.BACKTRACK or not files:
        return usual
    others = (number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, more)) for more in (STEP_TOKEN, RESTART_TOKEN))
    written_with = read_metadata(files[0]).get(FINGERPRINT)
    # Of any other tokenizer the usual one says that it is not its own.
    return next((found for found in others if fingerprint(found) == written_with), usual)


def _described(train: TrainSettings) -> dict[str, Any]:
    """Settings as JSON has them; without shares of the loss as they were before there were any."""
    values = asdict(train)
    if not train.shares.given:
        del values["shares"]
    return values


def show_progress(items: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    """Pass items on behind a progress bar on standard error; a line now and then where that is a file."""
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        return track(items, description=f"{what:>22}", total=total, console=console)
    return _tell_progress(items, what, total, console)


def _tell_progress(items: Iterable[Any], what: str, total: int, console: Console) -> Iterator[Any]:
    started = told = monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = monotonic()
        if now - told >= SECONDS_BETWEEN_LINES:
            told = now
            console.out(f"{what}: {done / total:.0%} in {now - started:.0f} s", highlight=False)
    console.out(f"{what}: done in {monotonic() - started:.0f} s", highlight=False)


def _say(what: str) -> None:
    Console(stderr=True).print(f"[bold]halluc[/bold]  {what} (once; kept in the cache)", highlight=False)
