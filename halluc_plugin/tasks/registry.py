"""Find tasks by name and by data source.

A task is a folder here, or in any package an entry point of the group ``halluc.tasks``::

    [project.entry-points."halluc.tasks"]
    reversal = "acme_tasks.reversal"            # or "acme_tasks.reversal:TASK"

Names and summaries are read without an import. A task's module is imported when the task is used, or when the
verifier of a data source is looked up; only this module imports others by their names. A broken task raises
an error only when it is asked for. If two packages claim one name or one data source, neither is used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from halluc_plugin.errors import DataError, TaskError, in_one_line
from halluc_plugin.tasks.places import ATTRIBUTE, GROUP, Place, declared, first_line, parsed, places
from halluc_plugin.tasks.task import JudgedBy, Task
from halluc_plugin.verifiers import VERLS, Verifier, never_right, unreadable


def names() -> tuple[str, ...]:
    """Return the names of all tasks, of this package and of others, without importing any."""
    return tuple(places())


def summary(name: str) -> str:
    """Return the first line of a task's module without its full stop; empty if it cannot be read.

    The task is not imported.
    """
    found = places().get(name, ())
    return first_line(found[0]).removesuffix(".") if len(found) == 1 else ""


def seems_to_draw(name: str) -> bool:
    """Return whether a task draws problems, as far as its file shows; True if it does not show it.

    The task is not imported.
    """
    found = places().get(name, ())
    said = declared(found[0]) if len(found) == 1 else None
    return said is None or "data" in said


def package(name: str) -> str:
    """Return the names, joined by commas, of the packages that provide a task, without importing it."""
    return ", ".join(place.package for place in places().get(name, ()))


def load(name: str) -> Task:
    """Import a task by its name; no other task is imported.

    Raises:
        TaskError: There is no such task, its module cannot be imported or declares another one, or another
            package has a task of this name.
    """
    claimants = places().get(name, ())
    if not claimants:
        raise TaskError(
            f"There is no task {name!r}.",
            f"Choose among {', '.join(names())}; a package adds one by an entry point of {GROUP}.",
        )
    if len(claimants) > 1:
        raise _contested("task", name, claimants)
    return _import(claimants[0])


def broken() -> Mapping[str, TaskError]:
    """Import all tasks, and return why the broken ones cannot be used, by name."""
    return _loaded().errors


def loaded() -> Mapping[str, Task]:
    """Import all tasks, and return those that can be used, by name."""
    return _loaded().tasks


def forget() -> None:
    """Forget what was found and imported, so that it is looked up again.

    Tests call it, and so do programs after installing a package.
    """
    places.cache_clear()
    parsed.cache_clear()
    _loaded.cache_clear()


def broken_note() -> str:
    """Return a sentence on the tasks that cannot be used, empty if all can.

    It is added to messages that something is not known.
    """
    found = broken()
    if not found:
        return ""
    told = ", ".join(f"{name} ({package(name)})" for name in sorted(found))
    return f" Of some tasks the sources are not known or not clear: {told}; `halluc doctor` says why."


def find_task(data_source: Any) -> Task | None:
    """Return the task whose rows have a data source, None if there is none.

    Raises:
        TaskError: Several tasks claim the source, or the name of its task.
    """
    found = _loaded()
    if not isinstance(data_source, str) or data_source not in found.by_source:
        return None
    name = found.by_source[data_source]
    if name in found.errors:
        raise TaskError(found.errors[name].cause, found.errors[name].fix)
    return found.tasks[name]


def find_verifier(data_source: Any) -> Verifier | None:
    """Return the verifier that scores a data source in training, None if verl scores it.

    Raises:
        TaskError: The source is refused by :func:`find_task`.
    """
    task = find_task(data_source)
    return task.verifier if task is not None and task.judged_by is JudgedBy.TASK else None


def require_verifier(data_source: str) -> Verifier:
    """Return the verifier of a data source, whether or not it is used in training.

    Raises:
        DataError: No task has a verifier for the source.
        TaskError: The source is refused by :func:`find_task`.
    """
    task = find_task(data_source)
    if task is None:
        sources = (source for task in loaded().values() for source in task.sources)
        raise DataError(
            f"A row has data_source {data_source!r}, for which there is no verifier.{broken_note()}",
            f"Use rows of {', '.join(sources)}, "
            f"or give a scoring function, such as verl's (--reward-function {VERLS}).",
        )
    return task.verifier


def known_sources() -> tuple[str, ...]:
    """Return all data sources that the verifier of a task scores in training."""
    judged = (task for task in loaded().values() if task.judged_by is JudgedBy.TASK)
    return tuple(source for task in judged for source in task.sources)


def truth_fault(data_source: Any, truth: Any) -> str | None:
    """Return why nothing can judge by a row's ground truth, None if no reason is known.

    Args:
        data_source: Data source of the row. verl's own scorer judges sources without a verifier.
        truth: The row's ``reward_model.ground_truth``.
    """
    verifier = find_verifier(data_source)
    return never_right(str(data_source), truth) if verifier is None else unreadable(verifier, truth)


def check_rows(path: Path, *, prompt_key: str = "prompt", judged: bool = True) -> list[dict[str, Any]]:
    """Read a file of problems for verl, and check ground truths by the verifiers of their sources.

    Args:
        path: The file to read.
        prompt_key: The column of the prompts.
        judged: Whether the verifier of the rows' source judges answers, rather than a user's function or
            nothing.

    Returns:
        The rows, as :func:`halluc_plugin.data.parquet.checked_rows` returns them.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.parquet.checked_rows`.
    """
    from halluc_plugin.data.parquet import checked_rows

    return checked_rows(path, prompt_key=prompt_key, truth_fault=truth_fault if judged else None)


@dataclass(frozen=True)
class _Loaded:
    tasks: Mapping[str, Task]
    """The tasks that can be used, by name."""
    errors: Mapping[str, TaskError]
    """The reasons why the others cannot be used, by name."""
    by_source: Mapping[str, str]
    """The name of each source's task, even if it cannot be used because another task claims it too."""


@cache
def _loaded() -> _Loaded:
    tasks: dict[str, Task] = {}
    errors: dict[str, TaskError] = {}
    claims: dict[str, tuple[Place, ...]] = {}
    for name, claimants in places().items():
        if len(claimants) > 1:
            errors[name] = _contested("task", name, claimants)
        for place in claimants:
            try:
                task = _import(place)
            except TaskError as error:
                errors.setdefault(name, error)
                continue
            tasks[name] = task
            for source in task.sources:
                claims[source] = (*claims.get(source, ()), place)
    for source, claimants in claims.items():
        if len(claimants) > 1:
            contested = _contested("data source", source, claimants)
            errors |= {place.name: errors.get(place.name, contested) for place in claimants}
    usable = {name: task for name, task in tasks.items() if name not in errors}
    return _Loaded(usable, errors, {source: of[0].name for source, of in claims.items()})


def _contested(what: str, name: str, claimants: tuple[Place, ...]) -> TaskError:
    said = " and ".join(f"{place.package} ({place.module})" for place in claimants)
    packages = " and ".join(dict.fromkeys(place.package for place in claimants))
    return TaskError(
        f"The {what} {name!r} is claimed by {said}, and it is not clear which is meant.",
        f"Uninstall one of {packages}, or let one of them use another {'name' if what == 'task' else what}.",
    )


def _import(place: Place) -> Task:
    told = f"The task {place.name!r} of the package {place.package}"
    more = f"`python -c 'import {place.module}'` shows more"
    fix = f"Mend `{place.attribute}` in {place.module}, update {place.package}, or uninstall it."
    try:
        found = import_module(place.module)
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"{told} cannot be imported ({in_one_line(error)}).",
            f"Mend or update {place.package}, or uninstall it; {more}.",
        ) from error
    try:
        for attribute in place.attribute.split("."):
            found = getattr(found, attribute)
    except AttributeError as error:
        raise TaskError(
            f"{told} cannot be imported ({in_one_line(error)}).",
            f"Declare `{place.attribute} = Task(...)` in {place.module}, mend the entry point, "
            f'or update {place.package}; `{place.name} = "{place.module}"` is enough for {ATTRIBUTE}.',
        ) from error
    if not isinstance(found, Task):
        raise TaskError(
            f"{told}: {place.module}.{place.attribute} is no Task but {type(found).__name__}.", fix
        )
    try:
        fault = found.fault(place.name)
    except Exception as error:  # noqa: BLE001 - a stranger's declaration may fail in any way
        fault = in_one_line(error)
    if fault:
        raise TaskError(f"{told} is declared wrongly: {fault}.", fix)
    return found
