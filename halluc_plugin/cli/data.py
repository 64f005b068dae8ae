"""``halluc data ...``: problems with exact verifiers, and raw traces of their answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from halluc_plugin.data.countdown_errors import ErrorMix

NUMBER_LEVEL = "number-level"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(help="Write problems and raw traces as verl parquet files.", no_args_is_help=True)
    commands.command("countdown")(countdown)
    app.add_typer(commands, name="data")


def countdown(
    out: Annotated[Path, typer.Option(help="Folder; the files go to OUT/countdown/.")],
    numbers: Annotated[int, typer.Option(help="Numbers in a problem, 3 to 6.")] = 3,
    largest_operand: Annotated[int, typer.Option(help="Numbers are drawn from 1 to this.")] = 25,
    train: Annotated[int, typer.Option(help="Training problems.")] = 12_000,
    test: Annotated[int, typer.Option(help="Problems of each held-out kind.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    tokenizer: Annotated[
        str, typer.Option(help="Folder or hub name whose ids the traces are in, or number-level.")
    ] = NUMBER_LEVEL,
    backtracking: Annotated[
        float, typer.Option(help="Backtracking traces for each clean one (D_back to D_op); 0 for none.")
    ] = 1.0,
    variants: Annotated[
        int, typer.Option(help="Most ways in which a training problem is drawn that get traces.")
    ] = 4,
    edit: Annotated[str, typer.Option(help="Errors are deleted by token or by step.")] = "token",
    ending: Annotated[
        str, typer.Option(help="Backtracking traces end with the correction or at the backtrack.")
    ] = "correction",
    rate: Annotated[float, typer.Option(help="Probability of an error at each step.")] = 0.5,
    follow: Annotated[
        float, typer.Option(help="Probability that an exploration error is followed to the end.")
    ] = 0.5,
    mix: Annotated[str, typer.Option(help="Weights of exploration:computational:rule errors.")] = "1:2:2",
) -> None:
    """Write Countdown problems (train, seen and new targets), raw traces, and a data card."""
    from halluc_plugin.data.countdown import CountdownSettings
    from halluc_plugin.data.countdown_files import CountdownRequest, write_countdown
    from halluc_plugin.data.countdown_traces import Edit, Ending, TraceSettings
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.settings import choose

    request = CountdownRequest(
        problems=CountdownSettings(numbers=numbers, largest_operand=largest_operand, seed=seed),
        train=train,
        test=test,
        backtracking=backtracking,
        variants=variants,
        traces=TraceSettings(
            edit=choose(Edit, edit, "--edit"),
            ending=choose(Ending, ending, "--ending"),
            rate=rate,
            follow=follow,
            mix=_mix(mix),
        ),
    )
    files = write_countdown(out, request, _tokenizer(tokenizer, edit, backtracking), show_progress)
    typer.echo(files.card.read_text(encoding="utf-8"), nl=False)
    typer.echo(f"Written to {files.card.parent}; lm_eval finds it with HALLUC_DATA_DIR={files.root}")


def _mix(text: str) -> "ErrorMix":
    from halluc_plugin.data.countdown_errors import ErrorMix
    from halluc_plugin.errors import SettingsError

    try:
        exploration, computational, rule = map(float, text.split(":"))
    except ValueError as error:
        raise SettingsError(f"--mix is {text!r}.", "Give three weights, e.g. 1:2:2.") from error
    return ErrorMix(exploration, computational, rule)


def _tokenizer(name: str, edit: str, backtracking: float) -> object:
    from halluc_plugin.scratch.tokenizer import number_tokenizer
    from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN

    if name == NUMBER_LEVEL:
        steps = (STEP_TOKEN,) if edit == "step" else ()
        return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, *steps) if backtracking else ())
    from halluc_plugin.tokens.loading import load_tokenizer

    return load_tokenizer(name)
