"""``halluc doctor``: what is installed, what is registered where, and what to do about each red line.

One module per room. Each has ``checks(...)``, which returns the lines of its room; hosts are looked at in a
Python of their own (:mod:`.fresh`), since they may be slow to import, fail, or print.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import engine as rewinding
from halluc_plugin.doctor import lm_eval, model, packages, verl, vllm

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["examine", "healthy"]


def examine(
    model_path: str | None = None, *, engine: bool = False, trust_remote_code: bool = False
) -> dict[str, list[Check]]:
    """Look into every room, at the same time.

    Args:
        model_path: A folder or hub name whose model and tokenizer are examined too.
        engine: Whether to try vLLM's engine in hard context too.
        trust_remote_code: Whether code that comes with the model may run.

    Returns:
        The checks of each room, in the order they are shown.
    """
    rooms: dict[str, Callable[[], list[Check]]] = {
        "packages": packages.checks,
        "verl": verl.checks,
        "vLLM": vllm.checks,
        "lm-eval": lm_eval.checks,
    }
    if model_path is not None:
        rooms["model"] = partial(model.checks, model_path, trust_remote_code=trust_remote_code)
    if engine:
        rooms["engine"] = rewinding.checks
    with ThreadPoolExecutor() as pool:
        pending = {room: pool.submit(_look_into, look) for room, look in rooms.items()}
        return {room: found.result() for room, found in pending.items()}


def _look_into(look: "Callable[[], list[Check]]") -> list[Check]:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a broken room must not hide what the others show
        fix = "Mend the red lines of the room packages first."
        return [Check("room", CheckStatus.FAIL, f"{type(error).__name__}: {error}", fix)]


def healthy(rooms: dict[str, list[Check]]) -> bool:
    """Whether no line of any room is red."""
    return all(check.status is not CheckStatus.FAIL for checks in rooms.values() for check in checks)
