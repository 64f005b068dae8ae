"""The Hydra callback of the recipes for fine-tuning by verl's SFT trainer."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import DictConfig, OmegaConf, open_dict

from halluc_plugin.commands import override, shell
from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError
from verl_ext.preflight.models import expand_paths, require_learnable_tokens, require_rewindable, warn_of_rate
from verl_ext.recipe.base import EMBEDDED_DATA, RecipeCallback, is_embedded, latest_step, log_places
from verl_ext.watch.fine_tuning import tell_steps

EMBEDDED_MODEL = "halluc:scratch"


class SFTCallback(RecipeCallback):
    """Prepares and reports one run of ``verl.trainer.sft_trainer``."""

    embedded: ClassVar[dict[str, str]] = {"model.path": EMBEDDED_MODEL, "data.train_files": EMBEDDED_DATA}

    def prepare(self, config: DictConfig) -> None:
        """Check the input, fill in embedded names, and set the places of logs."""
        _prepare(config)
        for name, value in log_places(config).items():
            os.environ.setdefault(name, value)  # a user's own choice wins
        tell_steps()

    def check(self, config: DictConfig) -> None:
        """Check the input of a job whose config cannot be filled in."""
        _check_job(config)

    def report(self, config: DictConfig) -> None:
        """Print first and last losses, the model's place and how to train on, once for all processes."""
        if _is_first():
            _report(config)


def _is_first() -> bool:
    """Whether this is the process, of those that torchrun started, that speaks for all."""
    return int(os.environ.get("RANK", "0")) == 0


def _prepare(config: DictConfig) -> None:
    settings = _settings(config)
    with open_dict(config):
        _fill_in_embedded(config, settings)
        expand_paths(config.model)
        if settings.context is Context.HARD:
            _take_own_engine(config)
    _check_start(config, settings)


def _check_job(config: DictConfig) -> None:
    """Check a job as :func:`_prepare` does; what that would fill in must be there."""
    from halluc_plugin.settings import load
    from verl_ext.host_settings.keys import OWN_STRATEGY
    from verl_ext.run_settings import OWN_ENGINE_CONFIG

    settings = _settings(config)
    if settings.context is Context.HARD:
        given = config.engine
        carried = given.get("_target_") == OWN_ENGINE_CONFIG and load(given.get("halluc")) == settings
        if given.strategy != OWN_STRATEGY or not carried:
            raise SettingsError(
                "halluc.context=hard, and --multirun cannot fill in the engine that it needs.",
                f"Set engine.strategy={OWN_STRATEGY} +engine._target_={OWN_ENGINE_CONFIG} "
                "'+engine.halluc=${halluc}', or start the jobs one by one.",
            )
    _check_start(config, settings)


def _settings(config: DictConfig) -> Any:
    from halluc_plugin.settings import load
    from verl_ext.compat import require_tested_verl
    from verl_ext.host_settings import SFT_TABLE, refuse, runs_of
    from verl_ext.recipe.check import require_sft_trainer

    require_tested_verl()
    require_sft_trainer(config)
    settings = load(OmegaConf.to_container(config.halluc, resolve=True))
    if settings.bans_edits:
        raise SettingsError(
            "halluc.max_backtracks or halluc.boundary=mask limits what is sampled, and nothing is here.",
            "Set ++halluc.max_backtracks=null and ++halluc.boundary=noop.",
        )
    refuse(config, settings, runs_of(settings, editing=False), SFT_TABLE)
    if int(config.trainer.test_freq) > 0 and not config.data.val_files:
        raise SettingsError(
            f"trainer.test_freq={config.trainer.test_freq}, and there is nothing to test on.",
            "Give trace files by data.val_files=... , or set trainer.test_freq=-1.",
        )
    return settings


def _check_start(config: DictConfig, settings: Any) -> None:
    from verl_ext.recipe.resumption import check_resumption

    _check(config, settings)
    # verl's SFT trainer takes a given checkpoint under resume_mode=auto, too.
    automatic = not config.trainer.resume_from_path
    check_resumption(config, model="model.path", automatic=automatic, first_process=_is_first())
    warn_of_rate(config, model="model", rate="optim.lr", usual="1e-5")


def _fill_in_embedded(config: DictConfig, settings: Any) -> None:
    """Replace the embedded names by paths; a user's own path is left alone."""
    from halluc_plugin import prepare

    if is_embedded(config.data.train_files, settings.prepare.task):
        config.data.train_files = str(prepare.embedded_data(settings.prepare).traces)
    if config.model.path == EMBEDDED_MODEL:
        config.model.path = str(prepare.scratch_model(settings.prepare))


def _take_own_engine(config: DictConfig) -> None:
    """The engine that lays traces out as trees, with the settings it reads."""
    from verl_ext.host_settings.keys import OWN_STRATEGY
    from verl_ext.run_settings import OWN_ENGINE_CONFIG

    config.engine.strategy = OWN_STRATEGY
    config.engine["_target_"] = OWN_ENGINE_CONFIG
    config.engine["halluc"] = OmegaConf.to_container(config.halluc, resolve=True)
    if OmegaConf.select(config, "model.override_config.attn_implementation") is None:
        OmegaConf.update(config, "model.override_config.attn_implementation", "sdpa", force_add=True)


def _check(config: DictConfig, settings: Any) -> None:
    """Look at the model, and read every file once, before torchrun's processes meet."""
    from halluc_plugin.tokens.loading import load_tokenizer
    from verl_ext.sft_dataset import collator_of, read_checked

    tokenizer = load_tokenizer(
        str(config.model.get("tokenizer_path") or config.model.path),
        trust_remote_code=bool(config.model.get("trust_remote_code", False)),
    )
    if settings.context is Context.HARD:
        require_rewindable(config.model)
    require_learnable_tokens(config.model, tokenizer, "model")
    for files in (config.data.train_files, config.data.val_files):
        if files:
            collator_of(read_checked(files, tokenizer, int(config.data.max_length)), tokenizer, settings)


def _report(config: DictConfig) -> None:
    losses = _losses(Path(os.environ["VERL_FILE_LOGGER_PATH"]))
    if losses:
        last = losses[-50:]
        sys.stdout.write(
            f"Loss: {losses[0]:.3f} nats per label at first, {sum(last) / len(last):.3f} at last"
        )
        sys.stdout.write(f" (mean of {len(last)} steps).\n")
    step = latest_step(config)
    if step is not None:
        model = step / "huggingface"
        sys.stdout.write(f"Model: {model}\n")
        recipe = "grpo_baseline" if config.halluc.prepare.traces == "clean" else "halluc_grpo"
        start = override("actor_rollout_ref.model.path", model)
        train = shell("python", "-m", "verl.trainer.main_ppo", f"+recipe={recipe}", start)
        sys.stdout.write(f"Train on with:  {train}\n")


def _losses(metrics: Path) -> list[float]:
    """The losses of this start, in order; none where verl's file logger is off."""
    from halluc_plugin.run_metrics import logged_records

    if not metrics.exists():
        return []
    data = (record["data"] for record in logged_records(metrics))
    return [float(values["train/loss"]) for values in data if "train/loss" in values]
