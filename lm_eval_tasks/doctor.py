"""Room "lm-eval": check that halluc's tasks and models, and other packages' tasks, are listed."""

import os
import site
from contextlib import suppress
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import fresh
from lm_eval_tasks.path_command import our_tasks

START_UP_FILE = "halluc_lm_eval.pth"
SWITCH = "HALLUC_LM_EVAL"
BY_FLAG = 'Pass --include_path "$(halluc lm-eval-path)".'
RENAME = f"{BY_FLAG} A name that lm-eval has already has to change."


def checks(call: fresh.Call) -> list[Check]:
    """Check lm-eval's task index and model registry, and what fills them.

    Args:
        call: Calls a function in another Python process; see :class:`halluc_plugin.doctor.fresh.Call`.
    """
    if find_spec("lm_eval") is None:
        return [Check("lm-eval", CheckStatus.ABSENT, "not installed", "pip install 'halluc[eval]'")]
    lines = [_start_up_file()]
    try:
        seen = call(f"{__name__}:observe")
    except fresh.FreshPythonError as error:
        fix = "Run `lm_eval ls tasks` and read its error."
        return [*lines, Check("import lm_eval", CheckStatus.FAIL, str(error), fix)]
    return [
        *lines,
        _listed("tasks", our_tasks(), seen["tasks"], BY_FLAG),
        *_tasks_of_others(seen),
        _listed(
            "models",
            _our_models(),
            seen["models"],
            f"`unset {SWITCH}`; `pip install --force-reinstall halluc`",
        ),
    ]


def observe() -> dict[str, Any]:
    """Import lm-eval and return what was found; called in a Python process of its own."""
    from lm_eval.tasks import TaskManager

    return {
        "tasks": list(TaskManager().all_tasks),
        "models": _models(),
        **observe_others(),
    }


def _our_models() -> list[str]:
    return sorted(
        point.name for point in entry_points(group="lm_eval.models") if "lm_eval_tasks" in point.value
    )


def _models() -> list[str]:
    """Return the models that lm-eval knows once a run has looked one up: its registry fills only then."""
    from lm_eval.api.registry import get_model, model_registry

    with suppress(KeyError, ValueError):  # as its versions say that a name is unknown
        get_model("dummy")  # lm-eval's own, which needs no host
    return list(model_registry.keys())


def observe_others() -> dict[str, Any]:
    """Return the lm-eval tasks that other packages declare, and why others cannot be made.

    A task that cannot be used at all is reported in the room "tasks".
    """
    from halluc_plugin.tasks.registry import broken
    from lm_eval_tasks.others import declared

    found, errors = declared()
    others: dict[str, list[str]] = {}
    for each in found:
        others.setdefault(each.package, []).extend(each.configs)
    told = {error.cause for error in broken().values()}
    faults = [(error.cause, error.fix) for error in errors if error.cause not in told]
    return {"others": others, "faults": faults}


def _tasks_of_others(seen: dict[str, Any]) -> list[Check]:
    """A line for each package whose tasks can be evaluated, and for each task that only cannot be."""
    listed = [
        _listed(f"tasks of {package}", names, seen["tasks"], RENAME)
        for package, names in seen["others"].items()
    ]
    return [*listed, *(Check("task", CheckStatus.FAIL, cause, fix) for cause, fix in seen["faults"])]


def _start_up_file() -> Check:
    name = "start-up file"
    if os.environ.get(SWITCH) == "0":
        return Check(name, CheckStatus.WARN, f"switched off by {SWITCH}=0", BY_FLAG)
    for folder in [*site.getsitepackages(), site.getusersitepackages()]:
        if (Path(folder) / START_UP_FILE).exists():
            return Check(name, CheckStatus.OK, START_UP_FILE)
    return Check(name, CheckStatus.WARN, f"no {START_UP_FILE} where this Python looks for such", BY_FLAG)


def _listed(kind: str, ours: list[str], seen: list[str], fix: str) -> Check:
    missing = [name for name in ours if name not in seen]
    if missing:
        return Check(kind, CheckStatus.FAIL, f"not listed: {', '.join(missing)}", fix)
    return Check(kind, CheckStatus.OK, ", ".join(ours))
