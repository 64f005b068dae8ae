"""Keep what an experiment has made, so that an interrupted one can be resumed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.errors import SettingsError

COMPLETE = "complete"


def keep_scale(out: Path, scale: Any, arms: Mapping[str, Any] | None = None) -> None:
    """Record the scale of an experiment in its folder, or check that it is the recorded one.

    Args:
        out: Folder of the experiment.
        scale: The scale, a dataclass.
        arms: JSON-able description of each arm; an arm that is not recorded yet is added.

    Raises:
        SettingsError: The folder has another scale, or another arm of the same name.
    """
    path = out / "scale.json"
    described = json.loads(json.dumps(asdict(scale) | ({} if arms is None else {"arms": arms})))
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        known, ours = kept.pop("arms", {}), described.pop("arms", {})
        if kept != described:
            raise SettingsError(
                f"{out} holds an experiment of another scale (see scale.json there).",
                "Give another --out, or leave --quick as it was.",
            )
        changed = [name for name in known.keys() & ours.keys() if known[name] != ours[name]]
        if changed:
            raise SettingsError(
                f"{out} holds an arm {changed[0]!r} with other settings (see scale.json there).",
                "Give another --out.",
            )
        if known or ours:
            described["arms"] = known | ours
    text = json.dumps(described, indent=1, sort_keys=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text)


def kept_model(folder: Path, train: Callable[[Path], None]) -> Path:
    """Return the folder of a model, which ``train`` fills on first use."""
    if not (folder / COMPLETE).exists():
        train(folder)
        (folder / COMPLETE).touch()
    return folder


def kept_cell(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the measurement in a JSON file, which ``measure`` makes on first use."""
    if not path.exists():
        write_whole(path, json.dumps(measure()))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
