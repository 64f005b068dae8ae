"""Modules that have moved: for one release their old names lead to the new ones, with one warning each.

Only names that users type are owed this (configs, command lines, documentation), and every module that has
moved gets it. What moved where is told in docs/migration.md.
"""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

UNTIL = "0.2"
"""The release in which the old names are gone."""


def install(modules: Mapping[str, str], names: Mapping[str, str] | None = None) -> None:
    """Let modules be imported by their old names.

    Args:
        modules: Old name of each module, and its new one.
        names: ``old.module.name`` of what has gone to another place than its module, and that module.
    """
    finder = next((finder for finder in sys.meta_path if isinstance(finder, _MovedFinder)), None)
    if finder is None:
        finder = _MovedFinder()
        sys.meta_path.append(finder)  # last: a module that exists is found before
    finder.modules.update(modules)
    finder.names.update(names or {})


def warn(old: str, new: str) -> None:
    """Say once that a name has changed."""
    message = f"{old} is now {new}; the old name goes in halluc {UNTIL}. See docs/migration.md."
    warnings.warn(message, FutureWarning, stacklevel=2)


def names(module: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module that is still there, for what has left it.

    Args:
        module: Name of the module.
        places: Each name that has left it, and the module where it is now.
    """

    def look_up(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn(f"{module}.{name}", f"{places[name]}.{name}")
        return getattr(import_module(places[name]), name)

    return look_up


class _MovedFinder(MetaPathFinder):
    """Finds modules by their old names."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname not in self.modules:
            return None
        return ModuleSpec(fullname, _MovedLoader(self), origin=self.modules[fullname])


class _MovedLoader(Loader):
    """Makes a module whose attributes are those of the new one."""

    def __init__(self, moved: _MovedFinder) -> None:
        self._moved = moved

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        new = self._moved.modules[old]
        warn(old, new)

        def look_up(name: str) -> Any:
            place = self._moved.names.get(f"{old}.{name}", new)
            return getattr(import_module(place), name)

        vars(module).update(__getattr__=look_up, __doc__=import_module(new).__doc__)
