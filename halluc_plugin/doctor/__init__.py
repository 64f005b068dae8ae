"""Examine an installation for ``halluc doctor``: what is installed, what is registered, and what to fix.

There is one module per room (:mod:`.packages`, :mod:`.tasks`, :mod:`.rewards`, :mod:`.vllm`, :mod:`.model`,
:mod:`.engine`), a room being one section of the report. Each has ``checks(...)``, which returns the lines of
its room. Hosts and tasks of other packages may be slow to import, fail, or print, so they are examined in
another Python process (:mod:`.fresh`). The rooms of adapters and of other packages are found by the
entry-point group :data:`GROUP`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from importlib.metadata import EntryPoint, entry_points

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import engine as rewinding
from halluc_plugin.doctor import fresh, model, packages, rewards, tasks, vllm

__all__ = ["GROUP", "examine", "healthy", "visit"]

Room = list[Check]

GROUP = "halluc.doctor"
"""Entry points: the name is the room's, the value ``module:checks``, a function of a :class:`.fresh.Call`."""

OURS = ("packages", "tasks", "rewards", "vLLM", "model", "engine")
"""Rooms that always exist. If an entry point has such a name, its room is called by its module's name,
too."""

ORDER = ("packages", "tasks", "rewards", "verl", "vLLM", "lm-eval", "model", "engine")
"""The order of rooms in a report, with other rooms after them; a visit yields each room when it is done."""


def examine(
    model_path: str | None = None, *, engine: bool = False, trust_remote_code: bool = False
) -> dict[str, Room]:
    """Run the checks of every room.

    Args:
        model_path: A folder or hub name whose model and tokenizer are examined too; None for none.
        engine: Whether to try vLLM's engine in hard context, which takes about half a minute.
        trust_remote_code: Whether code that comes with the model may run.

    Returns:
        The checks of each room by the name of the room, in the order of the report.
    """
    seen = dict(visit(model_path, engine=engine, trust_remote_code=trust_remote_code))
    known = [room for room in ORDER if room in seen]
    return {room: seen[room] for room in (*known, *sorted(seen.keys() - set(known)))}


def visit(
    model_path: str | None = None, *, engine: bool = False, trust_remote_code: bool = False
) -> Iterator[tuple[str, Room]]:
    """Run the checks of every room as :func:`examine` does, and yield each room as soon as it is done.

    Two rooms are examined at a time, as each keeps a core busy.

    Yields:
        The name of a room, and its checks.
    """
    yield "packages", _look_into(packages.checks)  # in no time
    with fresh.FreshPythons() as pythons, ThreadPoolExecutor(2) as pool:
        looks: dict[str, Callable[[], Room]] = {
            "tasks": partial(tasks.checks, pythons.call),
            "vLLM": partial(vllm.checks, pythons.call),
        }
        if rewards.brought():
            looks["rewards"] = partial(rewards.checks, pythons.call)
        for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
            taken = point.name in (*looks, *OURS)
            room = f"{point.name} ({point.value.partition(':')[0]})" if taken else point.name
            looks[room] = partial(_visit, point, pythons.call)
        if model_path is not None:
            looks["model"] = partial(model.checks, model_path, trust_remote_code=trust_remote_code)
        if engine:
            looks["engine"] = partial(rewinding.checks, pythons.call)
        pending = {pool.submit(_look_into, look): room for room, look in looks.items()}
        for done in as_completed(pending):
            yield pending[done], done.result()


def _visit(point: EntryPoint, call: fresh.Call) -> Room:
    room: Room = point.load()(call)
    return room


def _look_into(look: Callable[[], Room]) -> Room:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a broken room must not hide what the others show
        fix = "Mend the red lines of the room packages first."
        return [Check("room", CheckStatus.FAIL, f"{type(error).__name__}: {error}", fix)]


def healthy(rooms: dict[str, Room]) -> bool:
    """Return whether every check of every room has passed or only warns."""
    return all(check.status is not CheckStatus.FAIL for checks in rooms.values() for check in checks)
