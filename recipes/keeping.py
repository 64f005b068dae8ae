"""What an experiment has made is kept, so that an interrupted one goes on where it was."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halluc_plugin.errors import SettingsError

COMPLETE = "complete"


def keep_scale(out: Path, scale: Any, arms: Any = None) -> None:
    """Say in the folder of an experiment what its scale is, or see that it is this one.

    Args:
        out: The folder.
        scale: A dataclass.
        arms: What else must not change, JSON-able; None for nothing.

    Raises:
        SettingsError: What is kept there is of another scale.
    """
    whole = asdict(scale) | ({} if arms is None else {"arms": arms})
    described = json.dumps(whole, indent=1, sort_keys=True)
    path = out / "scale.json"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(described, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != described:
        raise SettingsError(
            f"{out} holds an experiment of another scale (see scale.json there).",
            "Give another --out, or leave --quick as it was.",
        )


def kept_model(folder: Path, train: Callable[[Path], None]) -> Path:
    """The folder of a model, which ``train`` fills unless it has."""
    if not (folder / COMPLETE).exists():
        train(folder)
        (folder / COMPLETE).touch()
    return folder


def kept_cell(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured and written to a JSON file, or is now."""
    if not path.exists():
        cell = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(cell), encoding="utf-8")
        partial.replace(path)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
