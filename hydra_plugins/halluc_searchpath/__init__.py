"""Make halluc's recipes selectable as ``+recipe=NAME`` in verl's programs, and in no others.

Hydra imports this module in every Hydra application on the machine, so it imports nothing but Hydra.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

RECIPES = "pkg://halluc_plugin.recipes"


class HallucSearchPath(SearchPathPlugin):
    """Appends halluc's recipes if the application's own configs are verl's."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder of recipes to the search path of verl's programs."""
        main = [element.path or "" for element in search_path.get_path() if element.provider == "main"]
        if any(_is_verl(path) for path in main):
            search_path.append("halluc", RECIPES)
            OmegaConf.register_new_resolver("halluc_scale", _scale, replace=True)
            OmegaConf.register_new_resolver("halluc_devices", _devices, replace=True)


def _scale() -> str:
    """The config of group ``halluc/scale`` that fits this run's platform, unless chosen by hand."""
    from verl_ext.cpu.platform import is_cpu_run

    return "cpu" if is_cpu_run() else "accelerator"


def _devices() -> int:
    """How many accelerators this host has."""
    from verl.plugin.platform import get_platform

    return int(get_platform().device_count())


def _is_verl(path: str) -> bool:
    if path.startswith("pkg://"):
        return path.removeprefix("pkg://").split(".")[0] == "verl"
    return path.rstrip("/").endswith("verl/trainer/config")
