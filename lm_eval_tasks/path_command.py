"""``halluc lm-eval-path``: the folder of our lm-eval tasks, for ``--include_path``."""

from pathlib import Path

import typer

from halluc_plugin.cli.help import examples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lm-eval-path", epilog=examples("halluc lm-eval-path"))(lm_eval_path)


def lm_eval_path() -> None:
    """Print the folder of our lm-eval tasks, for `lm_eval --include_path` where start-up files do not run."""
    typer.echo(Path(__file__).parent)
