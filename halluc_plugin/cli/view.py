"""The command ``halluc view``, which shows answers in the terminal or on a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli.data_options import Quiet
from halluc_plugin.cli.data_output import progress_unless
from halluc_plugin.cli.help import RESULTS, examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from halluc_plugin.viewer.answers import Source


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "view",
        rich_help_panel=RESULTS,
        epilog=examples(
            "halluc view checkpoints/halluc/halluc_grpo --html run.html",
            "halluc view checkpoints/halluc/halluc_grpo --step 8 --edited --limit 3",
            "halluc view MODEL_A/samples_gsm8k.jsonl MODEL_B/samples_gsm8k.jsonl --html both.html",
        ),
    )(view)


def view(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="A run's folder, a folder of runs, samples of lm-eval (--log_samples), a parquet file of "
            "traces, or answers of halluc search; several to compare them.",
            metavar="SOURCE...",
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page for a browser, one file.", show_default="printed in the terminal"),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            help="Training step whose answers are shown.",
            show_default="the last one in the terminal, all on a page",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Most answers of a source that are shown.",
            min=1,
            show_default="10 in the terminal, all on a page",
        ),
    ] = None,
    edited: Annotated[bool, typer.Option("--edited", help="Only answers that take something back.")] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Model whose tokenizer reads ids; a parquet file of traces needs it.",
            metavar="MODEL",
            show_default="none",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show answers: erased tokens struck through, backtracks as ⌫, what is left, what it was paid for."""
    from dataclasses import replace

    from rich.console import Console

    from halluc_plugin.viewer.page import write_page
    from halluc_plugin.viewer.sources import read_sources

    found = [_of_step(source, step, html is None) for source in read_sources(sources, tokenizer=tokenizer)]
    most = 10 if limit is None and html is None else limit
    chosen = [
        replace(source, answers=[a for a in source.answers if a.edits or not edited][:most])
        for source in found
    ]
    if html is None:
        _print(chosen, Console())
    else:
        write_page(chosen, html, progress_unless(quiet))
        if not quiet:
            typer.echo(f"{sum(len(source.answers) for source in chosen)} answers in {html}")
    for source in chosen:
        if source.skipped:
            typer.echo(f"{source.path}: {source.skipped} cut off at its end, and left out.", err=True)


def _of_step(source: "Source", step: int | None, terminal: bool) -> "Source":
    """The answers of a step; in a terminal the last one, where there are steps."""
    from dataclasses import replace

    from halluc_plugin.errors import SettingsError

    steps = sorted({answer.step for answer in source.answers if answer.step is not None})
    if step is None:
        if not terminal or not steps:
            return source
        step = steps[-1]
    if step not in steps:
        there = f"there are {len(steps)} steps, {steps[0]} to {steps[-1]}" if steps else "it has no steps"
        raise SettingsError(
            f"Step {step} of {source.path} has no traces; {there}.", "Choose one of them with --step."
        )
    return replace(source, answers=[answer for answer in source.answers if answer.step == step])


def _print(sources: "Sequence[Source]", console: "Console") -> None:
    from rich.text import Text

    from halluc_plugin.viewer import show
    from halluc_plugin.viewer.visible import visible

    for source in sources:
        if len(sources) > 1:
            console.rule(Text(visible(source.name)))  # as it is, not as rich's markup
        for answer in source.answers:
            show(answer, console)
        if not source.answers:
            console.print(f"No answer of {source.name} takes anything back.", markup=False)
