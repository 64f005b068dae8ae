"""The Hydra callback of the fine-tuning recipes: what must happen before and after verl's SFT trainer."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from halluc_plugin.errors import SettingsError
from verl_ext.callback import EMBEDDED_DATA, exit_on_bad_input

EMBEDDED_MODEL = "halluc:scratch"


class SFTCallback(Callback):
    """Prepares and reports one run; named by ``hydra.callbacks.halluc`` of a recipe."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the input and prepare what the recipe embeds."""
        exit_on_bad_input(lambda: _prepare(config))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a sweep over the embedded data: Hydra hands each job a copy that we cannot fill in."""
        exit_on_bad_input(lambda: _refuse_embedded_sweep(config))

    def on_run_end(self, config: DictConfig, job_return: Any = None, **_: Any) -> None:
        """Say where the model is, when the run ended well."""
        from hydra.core.utils import JobStatus

        if job_return is not None and job_return.status == JobStatus.COMPLETED and _rank() == 0:
            _report(config)


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _refuse_embedded_sweep(config: DictConfig) -> None:
    if EMBEDDED_MODEL in str(config.model.path) or EMBEDDED_DATA in str(config.data.train_files):
        raise SettingsError(
            "--multirun cannot prepare the embedded model and data.",
            "Run once without --multirun, then sweep with model.path=... and data.train_files=... .",
        )


def _prepare(config: DictConfig) -> None:
    from halluc_plugin.settings import Context, load
    from verl_ext.compat import require_tested_verl
    from verl_ext.recipe_check import require_sft_trainer

    require_tested_verl()
    require_sft_trainer(config)
    settings = load(OmegaConf.to_container(config.halluc, resolve=True))
    if settings.context is Context.HARD:
        raise SettingsError(
            "halluc.context=hard, which verl's SFT trainer cannot follow here.",
            "Fine-tune with `halluc train --context hard`.",
        )
    if int(config.trainer.test_freq) > 0 and not config.data.val_files:
        raise SettingsError(
            f"trainer.test_freq={config.trainer.test_freq}, and there is nothing to test on.",
            "Give trace files by data.val_files=... , or set trainer.test_freq=-1.",
        )
    with open_dict(config):
        _fill_in_embedded(config, settings)
    _check(config)
    _place_logs(config)


def _fill_in_embedded(config: DictConfig, settings: Any) -> None:
    """Replace the embedded names by paths; a user's own path is left alone."""
    from halluc_plugin import prepare

    if config.data.train_files == EMBEDDED_DATA:
        config.data.train_files = str(prepare.countdown_data(settings.prepare).traces)
    if config.model.path == EMBEDDED_MODEL:
        config.model.path = str(prepare.scratch_model(settings.prepare))


def _check(config: DictConfig) -> None:
    """Read every file once, before torchrun's processes meet."""
    from halluc_plugin.tokens.loading import load_tokenizer
    from verl_ext.sft_dataset import read_checked

    tokenizer = load_tokenizer(
        str(config.model.get("tokenizer_path") or config.model.path),
        trust_remote_code=bool(config.model.get("trust_remote_code", False)),
    )
    for files in (config.data.train_files, config.data.val_files):
        if files:
            read_checked(files, tokenizer, int(config.data.max_length))


def _run_dir(config: DictConfig) -> Path:
    return Path(config.trainer.default_local_dir).absolute()


def _place_logs(config: DictConfig) -> None:
    """Put metrics and TensorBoard files beside the checkpoints; a resumed run adds files, never truncates."""
    metrics = _run_dir(config) / "metrics" / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    metrics.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("VERL_FILE_LOGGER_PATH", str(metrics))
    os.environ.setdefault("TENSORBOARD_DIR", str(_run_dir(config) / "tensorboard"))


def _report(config: DictConfig) -> None:
    run_dir = _run_dir(config)
    losses = _losses(Path(os.environ["VERL_FILE_LOGGER_PATH"]))
    if losses:
        last = losses[-50:]
        sys.stdout.write(
            f"Loss: {losses[0]:.3f} nats per label at first, {sum(last) / len(last):.3f} at last"
        )
        sys.stdout.write(f" (mean of {len(last)} steps).\n")
    marker = run_dir / "latest_checkpointed_iteration.txt"
    if marker.exists():
        model = run_dir / f"global_step_{marker.read_text(encoding='utf-8').strip()}" / "huggingface"
        sys.stdout.write(f"Model: {model}\n")
        recipe = "grpo_baseline" if config.halluc.prepare.traces == "clean" else "halluc_grpo"
        sys.stdout.write(
            "Train on with:  python -m verl.trainer.main_ppo "
            f"+recipe={recipe} actor_rollout_ref.model.path={model}\n"
        )


def _losses(metrics: Path) -> list[float]:
    """The losses of this start, in order; none where verl's file logger is off."""
    if not metrics.exists():
        return []
    records = (json.loads(line)["data"] for line in metrics.read_text(encoding="utf-8").splitlines())
    return [float(data["train/loss"]) for data in records if "train/loss" in data]
