"""Room "tasks": check that every task can be used, and that no name is claimed by two packages."""

from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import fresh

Seen = dict[str, list[dict[str, Any]]]


def checks(call: fresh.Call) -> list[Check]:
    """Import every task, and report which package each broken one comes from.

    Args:
        call: Calls a function in another Python process; see :class:`halluc_plugin.doctor.fresh.Call`.
    """
    try:
        seen: Seen = call("halluc_plugin.doctor.tasks:observe")
    except fresh.FreshPythonError as error:
        fix = "Uninstall the packages that bring tasks one after the other, until this line is green."
        return [Check("import", CheckStatus.FAIL, str(error), fix)]
    lines = []
    for package in dict.fromkeys(task["package"] for task in seen["usable"]):
        names = (task["name"] for task in seen["usable"] if task["package"] == package)
        lines.append(Check(package, CheckStatus.OK, ", ".join(names)))
    broken = seen["broken"]
    lines += [Check(task["name"], CheckStatus.FAIL, task["cause"], task["fix"]) for task in broken]
    return lines


def observe() -> Seen:
    """Import all tasks and return what was found; called in a Python process of its own."""
    from halluc_plugin.tasks import registry

    errors = registry.broken()
    usable = [{"name": name, "package": registry.package(name)} for name in registry.loaded()]
    return {
        "usable": usable,
        "broken": [{"name": name, "cause": e.cause, "fix": e.fix} for name, e in errors.items()],
    }
