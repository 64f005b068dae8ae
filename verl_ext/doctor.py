"""Room "verl": check that the plugin is loaded, its names are registered and its recipes are found."""

import os
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import fresh

POLICY = "VERL_USE_EXTERNAL_PLUGINS"
SEE_ERROR = (
    'Run `python -c "import verl"` and read what halluc prints; then `pip install --force-reinstall halluc`.'
)


def checks(call: fresh.Call) -> list[Check]:
    """Check verl's registries and Hydra's search path.

    Args:
        call: Calls a function in another Python process; see :class:`halluc_plugin.doctor.fresh.Call`.
    """
    if find_spec("verl") is None:
        return [Check("verl", CheckStatus.ABSENT, "not installed", "pip install 'halluc[verl]'")]
    lines = [_entry_point()]
    try:
        seen = call(f"{__name__}:observe", beside="vllm")  # verl imports most of vLLM
    except fresh.FreshPythonError as error:
        return [*lines, Check("import verl", CheckStatus.FAIL, str(error), SEE_ERROR)]
    lines += [_name(*entry) for entry in seen["names"]]
    return [*lines, _version(seen["version_error"]), _recipes(seen["recipes"]), _platform(seen["platform"])]


def observe() -> dict[str, Any]:
    """Import verl and return what was found; called in a Python process of its own."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from verl.plugin.platform.platform_manager import get_platform

    from verl_ext.preflight.names import NAMES, owner

    with initialize_config_module("verl.trainer.config", version_base=None):
        recipes = GlobalHydra.instance().config_loader().get_group_options("recipe")
    return {
        "names": [(kind, name, owner(look_up, name)) for kind, name, _, look_up in NAMES],
        "version_error": _version_error(),
        "recipes": recipes,
        "platform": get_platform().device_name,
    }


def _version_error() -> tuple[str, str] | None:
    """Return what selecting one of halluc's names would raise, as cause and fix."""
    from halluc_plugin.errors import HostVersionError
    from verl_ext.compat import require_tested_verl

    try:
        require_tested_verl()
    except HostVersionError as error:
        return error.cause, error.fix
    return None


def _entry_point() -> Check:
    name = "plugin"
    ours = [point.value for point in entry_points(group="verl.plugins") if point.name == "halluc"]
    if not ours:
        return Check(name, CheckStatus.FAIL, "no entry point of halluc is installed", "pip install halluc")
    policy = os.environ.get(POLICY, "auto").strip().lower()
    if policy != "auto" and "halluc" not in [part.strip() for part in policy.split(",")]:
        return Check(
            name, CheckStatus.FAIL, f"{POLICY}={policy} keeps verl from loading it", f"unset {POLICY}"
        )
    return Check(name, CheckStatus.OK, f"entry point halluc = {ours[0]}")


def _name(kind: str, name: str, defined_in: str | None) -> Check:
    label = f"{kind} {name}"
    if defined_in is None:
        return Check(label, CheckStatus.FAIL, "unknown to verl", SEE_ERROR)
    if not defined_in.startswith("verl_ext."):
        fix = f"Uninstall the plugin that defines {defined_in}, or ask its authors to rename theirs."
        return Check(label, CheckStatus.FAIL, f"taken by {defined_in}", fix)
    return Check(label, CheckStatus.OK, defined_in)


def _version(error: tuple[str, str] | None) -> Check:
    if error is None:
        return Check("version", CheckStatus.OK, "in the tested window")
    return Check("version", CheckStatus.FAIL, *error)


def _recipes(recipes: list[str]) -> Check:
    if recipes:
        return Check("Hydra search path", CheckStatus.OK, f"+recipe={'|'.join(recipes)}")
    fix = (
        "`pip install --force-reinstall halluc`; or give every run "
        "`'hydra.searchpath=[pkg://halluc_plugin.recipes]'`."
    )
    return Check("Hydra search path", CheckStatus.FAIL, "no recipe of ours is on it", fix)


def _platform(device: str) -> Check:
    return Check("platform", CheckStatus.OK, f"verl runs on {device} here")
