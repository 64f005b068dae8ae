"""Add lm-eval tasks that other packages declare (entry points of the group ``halluc.tasks``)."""

import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from halluc_plugin.errors import HallucError, TaskError, in_one_line
from halluc_plugin.tasks import Task, load, names
from halluc_plugin.tasks.places import OURS
from halluc_plugin.tasks.registry import package
from lm_eval_tasks.declared import Config, configs, resolved

if TYPE_CHECKING:
    from lm_eval.tasks._index import Entry

_told: set[str] = set()


@dataclass(frozen=True)
class Declared:
    """A task that a package declares.

    Attributes:
        package: The package.
        task: The task.
        configs: Its lm-eval tasks, by name.
    """

    package: str
    task: Task
    configs: Mapping[str, Config]


def declared() -> tuple[list[Declared], list[HallucError]]:
    """Return the tasks of other packages that have lm-eval tasks, and why others have none."""
    found: list[Declared] = []
    errors: list[HallucError] = []
    for name in names():
        if package(name) == OURS:
            continue
        try:
            task = load(name)
            found.append(Declared(package(name), task, configs(task)))
        except HallucError as error:
            errors.append(error)
        except Exception as error:  # noqa: BLE001 - whatever a package declares, the others are listed
            told = in_one_line(error)
            cause = f"The evaluation of the task {name!r} of {package(name)} cannot be read ({told})."
            errors.append(TaskError(cause, f"Mend or update {package(name)}, or uninstall it."))
    contested = _contested(found)
    usable = [each for each in found if each.configs and contested.keys().isdisjoint(each.configs)]
    return usable, [*errors, *contested.values()]


def _contested(found: Sequence[Declared]) -> dict[str, TaskError]:
    """What is told of names that several tasks have: none of them gets it."""
    claims: dict[str, list[str]] = {}
    for each in found:
        for name in each.configs:
            claims.setdefault(name, []).append(f"{each.task.name} of {each.package}")
    return {
        name: TaskError(
            f"The lm-eval task {name!r} is claimed by {' and '.join(claimants)}: none is listed.",
            "Uninstall the package of one, or let its authors use another name.",
        )
        for name, claimants in claims.items()
        if len(claimants) > 1
    }


def add_to(index: "MutableMapping[str, Entry]", listed_before: Sequence[Path]) -> None:
    """Add the tasks of other packages to lm-eval's index, without files.

    Args:
        index: The index; a name that it already has is not changed.
        listed_before: The folders of lm-eval's own tasks and of halluc's, to report whose name is taken.
    """
    from lm_eval.tasks._index import Entry, Kind

    found, errors = declared()
    tell(errors)
    for each in found:
        for name, config in each.configs.items():
            if name not in index:
                index[name] = Entry(name, Kind.PY_TASK, None, cfg=resolved(config))
            elif _is_below(index[name].yaml_path, listed_before):
                tell([name_taken(name, each.package)])


def name_taken(name: str, by: str) -> TaskError:
    """Return the error for an lm-eval task whose name is already taken."""
    cause = f"The lm-eval task {name!r} of {by} is not listed, as there is one of that name."
    return TaskError(cause, f"Ask the authors of {by} to rename theirs.")


def tell(errors: Sequence[HallucError]) -> None:
    """Print each error as one line, once."""
    for line in _new(errors):
        sys.stderr.write(f"halluc: {line}\n")


def _new(errors: Sequence[HallucError]) -> Iterator[str]:
    for line in (" ".join(str(error).split()) for error in errors):
        if line not in _told:
            _told.add(line)
            yield line


def _is_below(path: Path | None, folders: Sequence[Path]) -> bool:
    return path is None or any(path.is_relative_to(folder) for folder in folders)
