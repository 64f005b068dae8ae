"""What an experiment has made is kept, so that an interrupted one goes on where it was."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMPLETE = "complete"


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
