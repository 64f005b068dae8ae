"""Run code right after a host module has been imported, without importing it."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType


def after_import(host_module: str, target: str) -> None:
    """Import ``target`` (``module``) or call it (``module:function``) once ``host_module`` is imported.

    This happens at once if the module is imported already. An error of the target is not suppressed: it fails
    the import.

    Args:
        host_module: Full name of the module to wait for.
        target: Module to import, or ``module:function`` to call with the host module.
    """
    loaded = sys.modules.get(host_module)
    spec = getattr(loaded, "__spec__", None)
    if loaded is not None and not getattr(spec, "_initializing", False):
        _run(target, loaded)
        return
    finder = next((f for f in sys.meta_path if isinstance(f, _HookFinder)), None)
    if finder is None:
        finder = _HookFinder()
        sys.meta_path.insert(0, finder)
    targets = finder.waiting.setdefault(host_module, [])
    if target not in targets:
        targets.append(target)


def _run(target: str, host: ModuleType) -> None:
    module, _, function = target.partition(":")
    imported = import_module(module)
    if function:
        getattr(imported, function)(host)


class _HookFinder(importlib.abc.MetaPathFinder):
    """Finds the awaited modules as other finders do, and wraps their loader."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[str]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _HookLoader(spec.loader, self.waiting.pop(fullname))
                return spec
        return None


class _HookLoader(importlib.abc.Loader):
    """The real loader, followed by the registered targets."""

    def __init__(self, loader: importlib.abc.Loader, targets: list[str]) -> None:
        self._loader, self._targets = loader, targets

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Tools that look at the loader (inspect, pickle, importlib.resources) must meet the real one.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        for target in self._targets:
            _run(target, module)
