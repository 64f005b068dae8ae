"""Write docs/settings.md from the dataclasses of the ``halluc:`` block: ``make docs``."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from halluc_plugin.rewards import components
from halluc_plugin.settings import Settings
from halluc_plugin.settings.curriculum import Stage
from halluc_plugin.settings.strict import KINDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
INTRODUCTION = """\
# Settings

This page lists every setting that halluc adds to a verl run, so that you can look up what it does and what it
is unless you set it.

Written by `make docs` from `halluc_plugin/settings/`.

All of them are in one block, `halluc:`. On the command line write
`++halluc.NAME=VALUE`: it sets any key, whether the recipe's YAML names it or not. (Without `++` Hydra takes
those alone that it names.) An unknown name is refused, with the closest one. What they mean together:
[rewards, credit, curriculum](credit.md), [soft or hard](soft-or-hard.md), [failures](failures.md),
[traces](traces.md).

| setting | default | |
| --- | --- | --- |
"""
CURRICULUM = """
## A stage of `halluc.curriculum`

The first steps of a run are those of the first stage, and so on; `halluc.max_backtracks` must be null next to
it.

| key | default | |
| --- | --- | --- |
"""
COMPONENTS = """
## Components of `halluc.reward.weights`

| component | reads | |
| --- | --- | --- |
"""
ENVIRONMENT = """
## Environment variables

| variable | |
| --- | --- |
| `HALLUC_HOME` | where embedded models and data are kept; `~/.cache/halluc` by default |
| `HALLUC_DATA_DIR` | where lm-eval tasks find their data sets: [evaluation](evaluation.md) |
| `HALLUC_LM_EVAL=0` | our lm-eval tasks are not listed: [evaluation](evaluation.md) |
| `VERL_PLATFORM=cpu` | verl runs on the CPU although there is an accelerator |
"""


def page() -> str:
    """Return the text of the page."""
    rows = [*_rows(Settings, "halluc")]
    stages = [*_rows(Stage, "")]
    sections = (INTRODUCTION, rows), (COMPONENTS, [*_components()]), (CURRICULUM, stages)
    return "".join(head + "\n".join(lines) + "\n" for head, lines in sections) + ENVIRONMENT


def _components() -> Iterator[str]:
    for name, made in components().items():
        reads = "values after steps" if made.reads_steps else "values of states" if made.reads_values else ""
        told = (inspect.getdoc(made.function) or "").partition("\n")[0].removeprefix("Return ")
        yield f"| `{name}` | {reads} | {_plain(told[:1].upper() + told[1:])} |"


def _rows(block: type[Any], path: str) -> Iterator[str]:
    hints, told = get_type_hints(block), _described(block)
    for field in fields(block):
        name = f"{path}.{field.name}" if path else field.name
        kind = hints[field.name]
        if is_dataclass(kind):
            yield f"| **`{name}`** | | *{_plain((inspect.getdoc(kind) or '').partition(chr(10))[0])}* |"
            yield from _rows(kind, name)
            continue
        default = getattr(block(), field.name)
        text = " ".join(filter(None, (told[field.name], _choices(kind)))).replace("|", r"\|")
        yield f"| `{name}` | {_shown(default)} | {text} |"
        for group, kind in field.metadata[KINDS]().items() if KINDS in field.metadata else ():
            yield from _rows(kind, f"{name}.{group}")


def _shown(default: Any) -> str:
    """Return a value as YAML writes it, on one line."""
    if isinstance(default, StrEnum):
        default = str(default)
    if default == ():
        default = []
    if isinstance(default, str) and not default.isidentifier():
        return f"`{default!r}`" if len(default) < 20 else "a sentence"
    return f"`{yaml.safe_dump(default, default_flow_style=True, width=1000).splitlines()[0]}`"


def _choices(kind: Any) -> str:
    """The values of an enum."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "One of " + ", ".join(f"`{value}`" for value in kind) + "."
    return ""


def _described(block: type[Any]) -> dict[str, str]:
    """What the docstring says of each field, without the markup of references."""
    doc = inspect.getdoc(block) or ""
    _, _, told = doc.partition("Args:\n")
    found: dict[str, str] = {}
    for line in told.splitlines():
        if match := re.match(r"    (\w+): (.+)", line):
            name, text = match.groups()
            found[name] = text
        elif line.startswith("        "):
            found[name] += " " + line.strip()
        elif line.strip():
            break
    return {name: _plain(text) for name, text in found.items()}


def _plain(text: str) -> str:
    """Markdown instead of references."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
