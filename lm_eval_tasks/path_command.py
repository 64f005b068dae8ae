"""The command ``halluc lm-eval-path``: a folder with the YAML of all lm-eval tasks for ``--include_path``."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import typer

from halluc_plugin.cli.help import SETUP, examples

PLACE = Path(__file__).parent
PATTERNS = ("*/*.yaml", "*/_*_yaml")
"""Patterns of the files of tasks and groups, and of files that some of them include."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("lm-eval-path", rich_help_panel=SETUP, epilog=examples("halluc lm-eval-path"))(lm_eval_path)


def lm_eval_path() -> None:
    """Print the folder of our lm-eval tasks, for `lm_eval --include_path` where start-up files do not run.

    It is written below HALLUC_HOME, with the tasks that other packages declare.
    """
    typer.echo(written())


def written() -> Path:
    """Write the folder unless it is up to date, and return it.

    Wrong declarations of other packages are printed.
    """
    from halluc_plugin.cache import load_or_build

    files = {str(file.relative_to(PLACE)): file.read_text("utf-8") for file in our_files()} | _of_others()
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return load_or_build("lm-eval-tasks", {"digest": digest}, lambda folder: _write(folder, files))


def our_files() -> list[Path]:
    """Return the YAML files of halluc's tasks."""
    return sorted({file for pattern in PATTERNS for file in PLACE.glob(pattern)})


def our_tasks() -> list[str]:
    """Return the names of halluc's tasks and groups, each of which has a file of its own."""
    return sorted(file.stem for file in PLACE.glob("*/[!_]*.yaml"))


def _of_others() -> dict[str, str]:
    from lm_eval_tasks.declared import folder, yaml_files
    from lm_eval_tasks.others import declared, name_taken, tell

    found, errors = declared()
    files: dict[str, str] = {}
    for each in found:
        written_by = f"Written by `halluc lm-eval-path` from the task {each.task.name} of {each.package}."
        taken = each.configs.keys() & set(our_tasks())
        errors += [name_taken(name, each.package) for name in sorted(taken)]
        if not taken:
            texts = yaml_files(each.task, written_by)
            files |= {f"{folder(each.task)}/{name}": text for name, text in texts.items()}
    tell(errors)
    return files


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
