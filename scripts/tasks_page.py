"""Write the tables of docs/tasks.md, of all tasks and of their contract: ``make docs``."""

import inspect
from collections.abc import Callable
from pathlib import Path

from halluc_plugin.tasks import Task, load, names, summary
from halluc_plugin.tasks.contract import Answered, checks
from halluc_plugin.tasks.places import OURS
from halluc_plugin.tasks.registry import package
from halluc_plugin.verifiers import FinalVerifier, PrefixVerifier

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tasks.md"
END = "<!-- to here -->\n"
TASKS = """\
| task | about | data sources | judges | prefixes | `halluc data` | lm-eval tasks |
| --- | --- | --- | --- | --- | --- | --- |
"""
CHECKS = """\
| check | holds |
| --- | --- |
"""


def page() -> str:
    """Return the text of the page."""
    ours = [load(name) for name in names() if package(name) == OURS]
    text = _with_part(PAGE.read_text(encoding="utf-8"), "tasks", TASKS + "".join(map(_row, ours)))
    return _with_part(text, "checks", CHECKS + _checks(ours))


def _with_part(text: str, name: str, part: str) -> str:
    before, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE} has no place for {name}.")
    return f"{before}{begin}{part}{end}{after}"


def _row(task: Task) -> str:
    judges = ["whole answers", *(["what they come to"] if isinstance(task.verifier, FinalVerifier) else [])]
    judges += [f"`{name}`" for name in task.judges]
    listed = [] if task.eval is None else [split.name for split in task.eval.splits]
    cells = (
        f"`{task.name}`",
        summary(task.name),
        _code(task.sources),
        ", ".join(judges),
        "yes" if isinstance(task.verifier, PrefixVerifier) else "no",
        "yes" if task.data is not None else "no",
        _code(listed) or "by hand",
    )
    return f"| {' | '.join(cells)} |\n"


def _code(words: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _checks(ours: list[Task]) -> str:
    """Return a row for every check of the contract, with what holds by its docstring."""
    found = {str(each): each.holds for task in ours for each in checks(task.name, [Answered({}, "")])}
    return "".join(f"| `{name}` | {_what_holds(holds)} |\n" for name, holds in found.items())


def _what_holds(check: Callable[..., None]) -> str:
    said = (inspect.getdoc(check) or "").removeprefix("Check that ")
    return said[:1].upper() + said[1:]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
