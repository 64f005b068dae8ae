"""Keep the old names of moved modules importable for one release, with one warning each.

Every module that has moved keeps its old name. A single object that has left a module keeps its old name only
where documentation or configurations name it, since users type those. docs/migration.md lists what has moved
and where to.
"""

import sys

# This is in every import of the package, and needs nothing but what Python has loaded at its start: `typing`,
# `warnings` and `importlib.abc` would bring sixty modules with them.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

UNTIL = "0.2"
"""The release in which the old names are removed."""


def install(modules: "Mapping[str, str]", names: "Mapping[str, str]") -> None:
    """Make moved modules importable by their old names.

    Args:
        modules: The new name of each module, by its old name.
        names: The new dotted name of each object that its module's new place does not hold, by its old dotted
            name. :func:`forward` serves objects whose old module still exists.
    """
    finder = _finder()
    finder.modules.update(modules)
    finder.names.update(names)


def forward(module: str) -> None:
    """Make objects that have left a module available in it; called at the end of that module.

    Args:
        module: The dotted name of the module, which still exists.
    """
    found = sys.modules[module]
    names = _finder().names
    others: Callable[[str], Any] | None = vars(found).get("__getattr__")

    def look_up(name: str) -> "Any":
        old = f"{module}.{name}"
        if old in names:
            warn(old, names[old])
            # Kept, so that the next one who asks is not told again: `from module import name` asks twice.
            vars(found)[name] = _named(names[old])
            return vars(found)[name]
        if others is not None:
            return others(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    # Not as a definition in the module: type checkers would believe that it has every name.
    vars(found)["__getattr__"] = look_up


def warn(old: str, new: str) -> None:
    """Warn the caller's caller that a name has changed.

    Args:
        old: The old name.
        new: The new name.
    """
    import warnings

    message = f"{old} is now {new}; the old name goes in halluc {UNTIL}. See docs/migration.md."
    warnings.warn(message, FutureWarning, stacklevel=3)


def _named(path: str) -> "Any":
    module, _, name = path.rpartition(".")
    return getattr(_module(module), name)


def _module(name: str) -> "ModuleType":
    __import__(name)
    return sys.modules[name]


def _finder() -> "_MovedFinder":
    found = next((finder for finder in sys.meta_path if isinstance(finder, _MovedFinder)), None)
    if found is None:
        found = _MovedFinder()
        sys.meta_path.append(found)  # last: a module that exists is found before
    return found


class _MovedFinder:
    """Finds modules by their old names; as an ``importlib.abc.MetaPathFinder``."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def find_spec(
        self,
        fullname: str,
        path: "Sequence[str] | None",  # noqa: ARG002 - the protocol's
        target: "ModuleType | None" = None,  # noqa: ARG002
    ) -> "ModuleSpec | None":
        if fullname not in self.modules:
            return None
        from importlib.machinery import ModuleSpec

        loader: Any = _MovedLoader(self)
        return ModuleSpec(fullname, loader, origin=self.modules[fullname])


class _MovedLoader:
    """Makes a module whose attributes are those of the new one; as an ``importlib.abc.Loader``."""

    def __init__(self, moved: "_MovedFinder") -> None:
        self._moved = moved

    def create_module(self, spec: "ModuleSpec") -> None:
        """Return None, so that Python creates the module."""

    def exec_module(self, module: "ModuleType") -> None:
        old = module.__name__
        new = self._moved.modules[old]
        elsewhere = {
            name.removeprefix(f"{old}."): place
            for name, place in self._moved.names.items()
            if name.rpartition(".")[0] == old
        }
        others = "".join(f", its {name} {place}" for name, place in elsewhere.items())
        warn(old, f"{new}{others}")

        def look_up(name: str) -> "Any":
            return _named(elsewhere.get(name, f"{new}.{name}"))

        vars(module).update(__getattr__=look_up, __doc__=_module(new).__doc__)
