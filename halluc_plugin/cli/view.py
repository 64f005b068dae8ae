"""``halluc view`` prints answers of a training run."""

from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli.help import examples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "view",
        epilog=examples(
            "halluc view checkpoints/halluc/halluc_grpo",
            "halluc view checkpoints/halluc/halluc_grpo --step 8 --edited --limit 3",
        ),
    )(view)


def view(
    run: Annotated[Path, typer.Argument(help="Folder of a run: checkpoints/PROJECT/EXPERIMENT.")],
    step: Annotated[
        int | None, typer.Option(help="Training step whose answers are printed.", show_default="the last one")
    ] = None,
    limit: Annotated[int, typer.Option(help="Most answers that are printed.", min=1)] = 10,
    edited: Annotated[bool, typer.Option("--edited", help="Only answers that take something back.")] = False,
) -> None:
    """Print logged answers: erased tokens struck through, backtracks as ⌫, and what is left."""
    from rich.console import Console

    from halluc_plugin.errors import SettingsError
    from halluc_plugin.trace_log import logged_steps, read_step
    from halluc_plugin.viewer import show

    steps = logged_steps(run)
    chosen = max(steps) if step is None else step
    if chosen not in steps:
        raise SettingsError(
            f"Step {chosen} has no traces; there are {len(steps)} steps, {min(steps)} to {max(steps)}.",
            "Choose one of them with --step.",
        )
    traces = [trace for trace in read_step(steps[chosen]) if trace.record.events or not edited]
    console = Console()
    for trace in traces[:limit]:
        show(trace, console)
    if not traces:
        console.print(f"No answer of step {chosen} takes anything back.")
