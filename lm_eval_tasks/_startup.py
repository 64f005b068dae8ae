"""Make halluc's tasks and models visible to ``lm_eval``, which has no hook for either (0.4.13).

``halluc_lm_eval.pth`` runs this module at interpreter start, so it imports nothing but ``sys`` and ``os``,
and waits. When ``lm_eval.tasks`` is imported, the task index gets one more folder, between lm_eval's own and
the user's ``--include_path``, and entries without files for what other packages declare
(:mod:`lm_eval_tasks.others`); halluc's models join the registry. An lm_eval that reads the entry points
itself has them already, and is not changed. ``HALLUC_LM_EVAL=0`` switches this off.
"""

import os
import sys

TYPE_CHECKING = False  # typing itself would cost more than all of this module
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.machinery import ModuleSpec
    from pathlib import Path
    from types import ModuleType
    from typing import Any

SWITCH = "HALLUC_LM_EVAL"
WATCHED = "lm_eval.tasks"


def install() -> None:
    """Wait for ``lm_eval.tasks``, unless switched off or already waiting."""
    if os.environ.get(SWITCH) == "0" or WATCHED in sys.modules:
        return
    if not any(isinstance(finder, _Watcher) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watcher())


class _Watcher:
    """A finder that lets the watched module be found as usual, and acts once it has run."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(self, name: str, *_: "Any") -> "ModuleSpec | None":
        if name != WATCHED or self._searching:
            return None
        self._searching = True
        try:
            from importlib.util import find_spec

            spec = find_spec(name)
            if spec is not None and spec.loader is not None:
                # On this one loader only: source, resources and reloads stay the host's.
                spec.loader.exec_module = self._then_extend(spec.loader.exec_module)  # type: ignore[assignment, method-assign]
        except Exception as error:  # noqa: BLE001 - whatever breaks here, lm_eval must still import
            _say(error)
            return None
        else:
            return spec
        finally:
            self._searching = False

    def _then_extend(self, exec_module: "Callable[[ModuleType], None]") -> "Callable[[ModuleType], None]":
        def run(module: "ModuleType") -> None:
            exec_module(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            try:
                _extend_index()
                _extend_models()
            except Exception as error:  # noqa: BLE001 - as above
                _say(error)

        return run


def _extend_index() -> None:
    """Make ``TaskIndex.build`` list halluc's tasks and other packages' whenever it lists lm_eval's."""
    from functools import wraps
    from pathlib import Path

    from lm_eval.tasks._index import TaskIndex

    build = TaskIndex.build

    @wraps(build)
    def build_with_ours(paths: "Iterable[Path]", **options: "Any") -> "Any":
        import lm_eval.tasks

        ours, theirs = Path(__file__).parent, Path(lm_eval.tasks.__file__).parent
        listed = [Path(path) for path in paths]
        # Absent when a TaskManager was asked for without defaults; a folder that halluc wrote has all tasks.
        if theirs not in listed or any((path / _manifest()).is_file() for path in listed):
            return build(listed, **options)
        # Present when the host has a hook.
        if ours not in listed:
            listed.insert(listed.index(theirs) + 1, ours)
        index = build(listed, **options)
        try:
            from lm_eval_tasks.others import add_to

            add_to(index, (theirs, ours))
        except Exception as error:  # noqa: BLE001 - as below
            _say(error)
        return index

    TaskIndex.build = staticmethod(build_with_ours)


def _manifest() -> str:
    from halluc_plugin.cache import MANIFEST

    return MANIFEST


def _extend_models() -> None:
    """Register halluc's models by name, as lm_eval's own are: nothing is imported until one is used."""
    from importlib.metadata import entry_points

    import lm_eval.models  # noqa: F401 - lm_eval adds its own models only to an empty registry
    from lm_eval.api.registry import model_registry

    for point in entry_points(group="lm_eval.models"):
        if point.value.startswith("lm_eval_tasks.") and point.name not in model_registry:
            model_registry.register(point.name, target=point.value)


def _say(error: Exception) -> None:
    sys.stderr.write(
        f"halluc: its tasks or models could not be added to lm_eval ({type(error).__name__}: {error}). "
        'Fix: pass --include_path "$(halluc lm-eval-path)".\n'
    )
