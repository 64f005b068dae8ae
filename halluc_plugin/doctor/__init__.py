"""``halluc doctor``: what is installed, what is registered where, and what to do about each red line.

One module per room. Each has ``checks(...)``, which returns the lines of its room; hosts are looked at in
another Python (:mod:`.fresh`), since they may be slow to import, fail, or print.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import engine as rewinding
from halluc_plugin.doctor import fresh, lm_eval, model, packages, verl, vllm

__all__ = ["examine", "healthy", "visit"]

Room = list[Check]
ORDER = ("packages", "verl", "vLLM", "lm-eval", "model", "engine")
"""Of a report; a visit tells of each room when it has been looked into."""


def examine(
    model_path: str | None = None, *, engine: bool = False, trust_remote_code: bool = False
) -> dict[str, Room]:
    """Look into every room.

    Args:
        model_path: A folder or hub name whose model and tokenizer are examined too.
        engine: Whether to try vLLM's engine in hard context too.
        trust_remote_code: Whether code that comes with the model may run.

    Returns:
        The checks of each room, in the order of a report.
    """
    seen = dict(visit(model_path, engine=engine, trust_remote_code=trust_remote_code))
    return {room: seen[room] for room in ORDER if room in seen}


def visit(
    model_path: str | None = None, *, engine: bool = False, trust_remote_code: bool = False
) -> Iterator[tuple[str, Room]]:
    """Look into every room as :func:`examine`, and tell of each as soon as it is done.

    Two at a time, as each keeps a core busy. verl imports most of vLLM, so both are looked at in one Python.

    Yields:
        Each room with its checks.
    """
    yield "packages", _look_into(packages.checks)  # in no time
    with fresh.FreshPython() as shared, ThreadPoolExecutor(2) as pool:
        looks: dict[str, Callable[[], Room]] = {
            "vLLM": partial(vllm.checks, shared.call),
            "lm-eval": partial(lm_eval.checks, fresh.call),
            "verl": partial(verl.checks, shared.call),
        }
        if model_path is not None:
            looks["model"] = partial(model.checks, model_path, trust_remote_code=trust_remote_code)
        if engine:
            looks["engine"] = partial(rewinding.checks, fresh.call)
        pending = {pool.submit(_look_into, look): room for room, look in looks.items()}
        for done in as_completed(pending):
            yield pending[done], done.result()


def _look_into(look: Callable[[], Room]) -> Room:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a broken room must not hide what the others show
        fix = "Mend the red lines of the room packages first."
        return [Check("room", CheckStatus.FAIL, f"{type(error).__name__}: {error}", fix)]


def healthy(rooms: dict[str, Room]) -> bool:
    """Whether no line of any room is red."""
    return all(check.status is not CheckStatus.FAIL for checks in rooms.values() for check in checks)
