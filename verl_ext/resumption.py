"""What went on before under a run's name: verl resumes the last checkpoint there, whatever it is given.

Each start leaves its config beside the checkpoints. The next one is refused if it names another model, whose
weights would not be read, and is told which other settings have changed.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import SettingsError
from verl_ext.recipe_callback import latest_step, run_dir

CONFIGS = "configs"
TIME_FORMAT = "%Y%m%d-%H%M%S"
LEFT_OUT = ("hydra", "ray_kwargs")
"""Blocks that are not recorded: Hydra's own, and Ray's, whose environment variables may be secrets."""
FREE = (
    "trainer.total_training_steps",
    "trainer.resume_mode",
    "trainer.resume_from_path",
    "trainer.default_local_dir",
)
"""Settings that a resumed run changes as a matter of course, and its folder, which may have moved."""
SHOWN = 8


def check_resumption(config: DictConfig, *, model: str, first_process: bool = True) -> None:
    """Compare a start with the one whose checkpoint it would go on from, and record it for the next.

    Args:
        config: The composed config, with real paths.
        model: Key of the model's path.
        first_process: Whether this process is the one that writes and prints.

    Raises:
        SettingsError: The checkpoint is that of a run from another model.
    """
    step = latest_step(config) if config.trainer.resume_mode == "auto" else None
    now = _recorded(config, model)
    if step is not None and (before := _config_of_checkpoint(config)) is not None:
        _require_same_model(before, now, model, step)
        if first_process:
            _say(before, now, step)
    if first_process:
        folder = run_dir(config) / CONFIGS
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(now, folder / f"{time.strftime(TIME_FORMAT)}.yaml")


def _recorded(config: DictConfig, model: str) -> DictConfig:
    kept = OmegaConf.create(
        {key: value for key, value in config.items_ex(resolve=False) if key not in LEFT_OUT}
    )
    path = Path(str(OmegaConf.select(config, model)))
    if path.exists():
        OmegaConf.update(kept, model, str(path.absolute()))  # from whichever folder the next start is made
    return kept


def _config_of_checkpoint(config: DictConfig) -> DictConfig | None:
    """What the run was started with that wrote the last checkpoint; None if an older version of ours did."""
    marker = run_dir(config) / "latest_checkpointed_iteration.txt"
    written = time.strftime(TIME_FORMAT, time.localtime(marker.stat().st_mtime))
    # A later start has not come as far as a checkpoint.
    records = sorted(path for path in (run_dir(config) / CONFIGS).glob("*.yaml") if path.stem <= written)
    return OmegaConf.load(records[-1]) if records else None


def _require_same_model(before: DictConfig, now: DictConfig, model: str, step: Path) -> None:
    was, given = (str(OmegaConf.select(config, model)) for config in (before, now))
    if was != given:
        raise SettingsError(
            f"{step.parent} holds {step.name} of a run that began with {model}={was}; verl would go on from "
            f"it, and {given} would not be read.",
            "Give this run a name of its own, trainer.experiment_name=... (or start afresh in the same "
            "folder, trainer.resume_mode=disable). To go on from that checkpoint all the same: "
            f"trainer.resume_mode=resume_path trainer.resume_from_path={step}.",
        )


def _say(before: DictConfig, now: DictConfig, step: Path) -> None:
    old, new = dict(_leaves(before)), dict(_leaves(now))
    changed = [
        f"{key}: {old.get(key, 'not set')} -> {new.get(key, 'not set')}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key) and key not in FREE
    ]
    said = f"halluc: goes on from {step}"
    if changed:
        more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        said += f". Since it was written, changed: {'; '.join(changed[:SHOWN])}{more}"
    sys.stderr.write(f"{said}\n")


def _leaves(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted key, as written; a list is one."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(value, f"{path}.{key}" if path else str(key))
        else:
            yield path, node

    return walk(OmegaConf.to_container(config, resolve=False), "")
