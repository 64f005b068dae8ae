"""Prepare the embedded default: problems and a small warm-started model, made on first use and cached.

Each step is also a command: ``halluc data TASK`` and ``halluc warmstart``.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from halluc_plugin.cache import load_or_build
from halluc_plugin.data.resumable import Progress
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.data_set import DataSet
from halluc_plugin.problem_sets.files import DataSetFiles
from halluc_plugin.problem_sets.options import Option, with_values
from halluc_plugin.problem_sets.step_files import StepFiles
from halluc_plugin.progress import is_asked, tell
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.refusals import unknown
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.settings import PrepareSettings, WarmStartTraces
from halluc_plugin.settings.strict import convert
from halluc_plugin.tasks.countdown.files import FOLDER as COUNTDOWN
from halluc_plugin.tasks.countdown.files import CountdownFiles, CountdownRequest
from halluc_plugin.tasks.countdown.traces import TraceSettings
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.training.settings import TrainSettings

WARM_START = TrainSettings()
# Few traces with errors, and few errors in them: a model this small learns the task from the clean ones.
BACKTRACKING, TRACES = 0.25, TraceSettings(rate=0.3)
SIZE = Size.TINY
TURN = "\n?\n"
"""The request to try again that a model at number level can read: a question mark, behind the new line that
verl writes after the end of a turn of Qwen's."""
ROWS = 2
"""Version of the rows, to be raised when the same request gives other rows, so that cached ones are made
anew."""
AMOUNTS = {"train": "train_problems", "test": "test_problems", "seed": "seed"}
"""The options of every embedded task that are settings of their own, with the names of these settings."""


def asked(settings: PrepareSettings) -> DataSet:
    """Return the data set of the task that these settings ask for.

    The problems depend only on the seed, the counts and the options, so runs with and without backtracking
    share them.

    Raises:
        TaskError: No task has this name.
        SettingsError: The task draws no problems, does not have a given option, or an option's value is out
            of range.
    """
    data, path = _defaults(settings.task), "halluc.prepare.options"
    found = {each.name: each for each in data.options()}
    if missing := [name for name in (*AMOUNTS, "backtracking") if name not in found]:
        raise SettingsError(
            f"The task {settings.task} cannot be embedded: it has no option {missing[0]}.",
            "Write its data by `halluc data`, and give the files by data.train_files and data.val_files.",
        )
    values = {found[name].path: getattr(settings, setting) for name, setting in AMOUNTS.items()}
    if settings.traces is WarmStartTraces.CLEAN:
        values[found["backtracking"].path] = 0.0
    own = {name: each for name, each in found.items() if name not in AMOUNTS}
    for name, value in settings.options.items():
        if name not in own:
            raise unknown(f"setting {path}.{name}", name, list(own), path)
        values.setdefault(own[name].path, _value(own[name], value, f"{path}.{name}"))
    return with_values(data, values)


def _defaults(task: str) -> DataSet:
    if task == COUNTDOWN:
        return CountdownRequest(backtracking=BACKTRACKING, traces=TRACES)
    from halluc_plugin.tasks import registry

    data = registry.load(task).data
    if data is None:
        raise SettingsError(
            f"halluc.prepare.task is {task!r}, which draws no problems.",
            "Give a task that `halluc data --help` lists.",
        )
    return data


def _value(option: Option, value: Any, path: str) -> Any:
    return convert(dict[str, float] if option.kind is dict else option.kind, value, path)


def tokenizer_for(traces: WarmStartTraces, edit: str = "token") -> Any:
    """Return the number-level tokenizer for these traces.

    A baseline's tokenizer has no edit token, so that its model cannot backtrack.

    Args:
        traces: The kind of traces that the model learns from.
        edit: The edit that takes back in these traces, where they take back: ``token``, ``step`` or
            ``restart``.
    """
    return editing_tokenizer(edit if traces is WarmStartTraces.BACKTRACK else None)


def embedded_data(settings: PrepareSettings, progress: Progress = show_progress) -> DataSetFiles:
    """Return the problems and traces for these settings, from the cache or generated now.

    Args:
        settings: The settings of the embedded model and data.
        progress: Shows the progress.

    Raises:
        TaskError: No task has this name.
        SettingsError: The settings are refused by :func:`asked`, or there are not as many distinct problems.
    """
    data = asked(settings)

    def build(folder: Path) -> None:
        name = "Countdown" if settings.task == COUNTDOWN else settings.task
        _say(f"making {settings.train_problems} {name} problems and their traces")
        # Turns are made of traces with edits, whose tokenizer has the same ids and one more.
        data.write(folder, editing_tokenizer(data.edit), progress)

    root = load_or_build(settings.task, data.described | {"rows": ROWS}, build)
    if isinstance(data, CountdownRequest):
        return CountdownFiles(root, data.problems.numbers)
    return StepFiles(root, settings.task)


def embedded_splits(settings: PrepareSettings) -> tuple[Path, list[Path]]:
    """Return the training file and the file of each held-out split of :func:`embedded_data`."""
    files = embedded_data(settings)
    train, *held_out = asked(settings).splits
    return files.problems(train), [files.problems(split) for split in held_out]


def turn_traces(settings: PrepareSettings) -> Path:
    """Return the traces of :func:`embedded_data` as two attempts each, from the cache or made now.

    Raises:
        SettingsError: The task is not Countdown.
    """
    if settings.task != COUNTDOWN:
        raise SettingsError(
            f"halluc.prepare.traces=turns, and halluc.prepare.task is {settings.task}.",
            "Choose halluc/task=countdown: other tasks have no traces in turns.",
        )
    data = embedded_data(settings)
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
    """Return the folder of a small model that was fine-tuned on these traces, cached or trained now.

    Raises:
        SettingsError: The settings are refused by :func:`asked`, or those of erased tokens or loss shares are
            invalid.
    """
    data, train = embedded_data(settings), _training(settings)
    in_turns = settings.traces is WarmStartTraces.TURNS
    described = {"data": data.root.name, "size": str(SIZE), "train": _described(train)}

    def build(folder: Path) -> None:
        _say(f"warm-starting a {SIZE} model on {settings.traces} traces, {train.steps} steps")
        traces = turn_traces(settings) if in_turns else data.traces
        warm_start([traces], settings.traces, train, folder)

    return load_or_build(f"warm-start-{settings.traces}", described, build)


def _training(settings: PrepareSettings) -> TrainSettings:
    """How the warm start trains; what takes nothing back has nothing that is weighed or seen otherwise."""
    train = replace(
        WARM_START,
        seed=settings.seed,
        steps=settings.warm_start_steps,
        batch_size=settings.warm_start_batch_size,
    )
    if settings.traces is not WarmStartTraces.BACKTRACK:
        return train
    return replace(
        train, context=settings.context, erased_tokens=settings.erased_tokens, shares=settings.shares
    )


def _edit(settings: PrepareSettings) -> str:
    """What takes back in the traces, ``token`` where nothing does."""
    return str(asked(settings).edit or "token")


def scratch_model(settings: PrepareSettings) -> Path:
    """Return the folder of a small model with random weights and these traces' tokenizer, cached."""
    edit = _edit(settings)
    described = {"size": str(SIZE), "seed": settings.seed} | ({} if edit == "token" else {"edit": edit})

    def build(folder: Path) -> None:
        tokenizer = tokenizer_for(settings.traces, edit)
        save_model(new_model(tokenizer, SIZE, seed=settings.seed), tokenizer, folder)

    return load_or_build(f"scratch-{settings.traces}", described, build)


def warm_start(
    files: list[Path],
    traces: WarmStartTraces,
    train: TrainSettings,
    out: Path,
    *,
    size: Size = SIZE,
    shown: bool = True,
) -> dict[str, float]:
    """Train a model from scratch on trace files in the number-level tokenizer's ids.

    Args:
        files: The trace files to train on.
        traces: The kind of traces, which decides whether the tokenizer has the edit token.
        train: How to train. Its seed also seeds the initial weights.
        out: The folder to write the model and tokenizer to.
        size: The size of the model.
        shown: Whether to show progress.

    Returns:
        The figures that :func:`halluc_plugin.training.fine_tune` returns.
    """
    from halluc_plugin.training.fine_tuning import fine_tune

    tokenizer = _tokenizer_of(files, traces)
    model = new_model(tokenizer, size, seed=train.seed)
    told = [_steps_told()] if is_asked() else []
    return fine_tune(model, tokenizer, files, train, out, show_progress=shown and not told, callbacks=told)


def _steps_told() -> Any:
    """Tells the steps of a warm start; made here, since transformers is heavy."""
    from transformers import TrainerCallback

    class Told(TrainerCallback):
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            tell("warm start", state.global_step, state.max_steps)

    return Told()


def _tokenizer_of(files: list[Path], traces: WarmStartTraces) -> Any:
    """The number-level tokenizer that files were written with: edits may be by step or restart, too."""
    from halluc_plugin.data.parquet import read_metadata
    from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint

    usual = tokenizer_for(traces)
    if traces is not WarmStartTraces.BACKTRACK or not files:
        return usual
    others = (editing_tokenizer(edit) for edit in ("step", "restart"))
    written_with = read_metadata(files[0]).get(FINGERPRINT)
    # Of any other tokenizer the usual one says that it is not its own.
    return next((found for found in others if fingerprint(found) == written_with), usual)


def _described(train: TrainSettings) -> dict[str, Any]:
    """Settings as JSON has them; without shares of the loss as they were before there were any."""
    values = asdict(train)
    if not train.shares.given:
        del values["shares"]
    return values


def _say(what: str) -> None:
    told = f"[bold]halluc[/bold]  {what} (once; kept in the cache)"
    Console(stderr=True).print(told, highlight=False, soft_wrap=True)
