"""Check the earlier starts under a run's name, since verl resumes the last checkpoint there.

Each start writes its config next to the checkpoints. The next start is refused if it names another model,
whose weights would not be read; changes of other settings are printed.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.commands import override, shell
from halluc_plugin.errors import SettingsError
from verl_ext.host_settings.keys import OWN_STRATEGY, STOCK_STRATEGY
from verl_ext.recipe.base import latest_step, run_dir
from verl_ext.run_settings import OWN_ENGINE_CONFIG

CONFIGS = "configs"
LEFT_OUT = ("hydra", "ray_kwargs")
"""Blocks that are not recorded: Hydra's own, and Ray's, whose environment variables may be secrets."""
FREE = (
    "trainer.total_training_steps",
    "trainer.resume_mode",
    "trainer.resume_from_path",
    "trainer.default_local_dir",
)
"""Settings that a resumed run may change without notice, and its folder, which may have moved."""
ENGINES = (
    frozenset((STOCK_STRATEGY, OWN_STRATEGY)),
    frozenset(("verl.workers.config.FSDPEngineConfig", OWN_ENGINE_CONFIG)),
)
"""Values of settings that follow from other settings: two engines with the same kind of checkpoint."""
SHOWN = 8
WEIGHTS = ("*.safetensors", "*.bin")
CHUNKS, CHUNK = 64, 1 << 14


@dataclass(frozen=True)
class Start:
    """The model and config with which a run was started.

    Attributes:
        model: Path or hub name of the model.
        fingerprint: Fingerprint of the model's files; None if they are not in a local folder.
        config: The composed config with interpolations as they were written, without :data:`LEFT_OUT`.
    """

    model: str
    fingerprint: str | None
    config: DictConfig

    @classmethod
    def of(cls, config: DictConfig, model: str) -> "Start":
        """Return the description of this start; ``model`` is the key of the model's path."""
        given = str(OmegaConf.select(config, model))
        folder = Path(given)
        kept = {key: value for key, value in config.items_ex(resolve=False) if key not in LEFT_OUT}
        known = folder.is_dir()
        return cls(
            str(folder.resolve()) if known else given,
            _fingerprint(folder) if known else None,
            OmegaConf.create(kept),
        )

    @classmethod
    def read(cls, path: Path) -> "Start":
        """Return the description of a recorded start."""
        found = OmegaConf.load(path)
        return cls(found.model, found.fingerprint, found.config)

    def write(self, folder: Path) -> None:
        """Record the start in a file named after the time."""
        folder.mkdir(parents=True, exist_ok=True)
        record = {"model": self.model, "fingerprint": self.fingerprint, "config": self.config}
        path = folder / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.yaml"
        partial = path.with_suffix(".partial")  # half a record would be no config to compare with
        OmegaConf.save(OmegaConf.create(record), partial)
        partial.replace(path)

    def has_model_of(self, other: "Start") -> bool:
        """Return whether both starts begin from the same weights, wherever these are stored."""
        if self.fingerprint and other.fingerprint:
            return self.fingerprint == other.fingerprint
        return self.model == other.model


def check_resumption(
    config: DictConfig, *, model: str, automatic: bool = True, first_process: bool = True
) -> None:
    """Compare a start with the one whose checkpoint it would resume, and record it for the next.

    Args:
        config: The composed config, with real paths.
        model: Key of the model's path.
        automatic: Whether verl itself looks for the last checkpoint under ``resume_mode=auto``.
        first_process: Whether this process is the one that writes and prints.

    Raises:
        SettingsError: The checkpoint belongs to a run from another model.
    """
    now = Start.of(config, model)
    step = latest_step(config) if automatic and config.trainer.resume_mode == "auto" else None
    if step is not None and step.is_dir() and (before := _start_of_checkpoint(config)) is not None:
        _require_same_model(before, now, model, step)
        if first_process:
            _say(before.config, now.config, step)
    if first_process:
        now.write(run_dir(config) / CONFIGS)


def _start_of_checkpoint(config: DictConfig) -> Start | None:
    """The start that wrote the last checkpoint; None if an older version of halluc did."""
    written = (run_dir(config) / "latest_checkpointed_iteration.txt").stat().st_mtime
    # A later start has not come as far as a checkpoint.
    records = (run_dir(config) / CONFIGS).glob("*.yaml")
    found = sorted(path for path in records if path.stat().st_mtime <= written)
    return Start.read(found[-1]) if found else None


def _require_same_model(before: Start, now: Start, model: str, step: Path) -> None:
    if not now.has_model_of(before):
        changed = now.model if now.model != before.model else "what is there now"
        raise SettingsError(
            f"{step.parent} holds {step.name} of a run that began with {model}={before.model}; verl would go "
            f"on from it, and {changed} would not be read.",
            "Give this run a name of its own, trainer.experiment_name=... (or start afresh in the same "
            "folder, trainer.resume_mode=disable). To go on from that checkpoint all the same, give "
            f"`{shell('trainer.resume_mode=resume_path', override('trainer.resume_from_path', step))}`.",
        )


def _say(before: DictConfig, now: DictConfig, step: Path) -> None:
    old, new = dict(_leaves(before)), dict(_leaves(now))
    changed = [
        f"{key}: {old.get(key, 'not set')} -> {new.get(key, 'not set')}"
        for key in sorted({*old, *new}, key=lambda key: (not key.startswith("halluc."), key))
        if old.get(key) != new.get(key)
        and key not in FREE
        and ".fsdp_config.halluc" not in key
        and not _is_other_engine(old.get(key), new.get(key))
    ]
    said = f"halluc: goes on from {step}"
    if changed:
        more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        said += f". Since it was written, changed: {'; '.join(changed[:SHOWN])}{more}"
    sys.stderr.write(f"{said}\n")


def _is_other_engine(before: Any, now: Any) -> bool:
    """Whether a change follows from other settings, which are told; values may be lists, too."""
    return isinstance(before, str) and isinstance(now, str) and {before, now} in ENGINES


def _leaves(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted key, as written; a list is one."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                yield from walk(value, f"{path}.{key}" if path else str(key))
        else:
            yield path, node

    return walk(OmegaConf.to_container(config, resolve=False), "")


def _fingerprint(folder: Path) -> str:
    """Return the fingerprint of a model's config and of 1 MiB from all over each of its weight files."""
    seen = sha256()
    for path in [folder / "config.json", *sorted(path for kind in WEIGHTS for path in folder.glob(kind))]:
        if not path.is_file():
            continue
        size = path.stat().st_size
        seen.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            for chunk in range(CHUNKS):
                file.seek(chunk * max(size - CHUNK, 0) // (CHUNKS - 1))
                seen.update(file.read(CHUNK))
    return seen.hexdigest()
