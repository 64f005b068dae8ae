"""Stand-ins for hosts that are not installed, so that what only mentions them can be imported.

A stand-in has every attribute, can be called, decorated with and inherited from, and computes nothing. The
checks of the window use it to load settings where there is no torch.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HOSTS = ("torch", "transformers", "tokenizers", "numba", "pyarrow")


class StandIn(ModuleType):
    """A module, a function, a class and a decorator, of no effect."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name)

    def __call__(self, *given: Any, **_options: Any) -> Any:
        """Return what is decorated, else the stand-in itself."""
        return given[0] if len(given) == 1 and callable(given[0]) else self

    def __mro_entries__(self, _bases: Any) -> tuple[type, ...]:
        """Add no base to a class."""
        return ()

    def __or__(self, _other: Any) -> Any:
        return object

    __ror__ = __or__


class Finder(MetaPathFinder, Loader):
    """Finds a stand-in for every module of the given packages.

    Args:
        packages: Names of top-level packages.
    """

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002 (Python's signature)
        """Return a specification for a module of the packages, None for others."""
        return ModuleSpec(fullname, self) if fullname.partition(".")[0] in self._packages else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the stand-in."""
        return StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing."""


def install() -> list[str]:
    """Stand in for each host that is not installed; return their names."""
    absent = [name for name in HOSTS if importlib.util.find_spec(name) is None]
    sys.meta_path.append(Finder(absent))
    return absent
