"""Room "rewards": check that each reward component of another package can be used."""

from importlib.metadata import entry_points

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import fresh

GROUP = "halluc.rewards"
"""The group of entry points of :mod:`halluc_plugin.rewards.registry`, whose import takes seconds."""


def brought() -> bool:
    """Return whether any package provides a reward component; otherwise this room is left out."""
    return bool(entry_points(group=GROUP))


def checks(call: fresh.Call) -> list[Check]:
    """Import every component that a package provides, and report why each broken one cannot be used.

    Args:
        call: Calls a function in another Python process; see :class:`halluc_plugin.doctor.fresh.Call`.
    """
    try:
        seen: dict[str, str | None] = call("halluc_plugin.doctor.rewards:observe")
    except fresh.FreshPythonError as error:
        fix = "Uninstall the packages that bring reward components one by one, until this line is green."
        return [Check("import", CheckStatus.FAIL, str(error), fix)]
    fix = "Mend the package, update it, or uninstall it."
    return [
        Check(name, CheckStatus.OK, "registered")
        if cause is None
        else Check(name, CheckStatus.FAIL, cause, fix)
        for name, cause in seen.items()
    ]


def observe() -> dict[str, str | None]:
    """Return for each component that a package provides why it cannot be used, None if it can.

    It is called in a Python process of its own.
    """
    from halluc_plugin.rewards.registry import broken_components

    broken = broken_components()
    return {name: broken.get(name) for name in sorted(entry_points(group=GROUP).names)}
