"""The Hydra callback of the recipes for reinforcement learning.

Before any worker starts it checks the user's input, prepares the embedded model and data when the recipe
asks for them, and gives each run a place for its logs. Afterwards it prints what the run learned.
"""

import os
import sys
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from omegaconf import DictConfig, OmegaConf, open_dict

from halluc_plugin.commands import model_args, shell
from halluc_plugin.progress import ASKED, is_asked
from halluc_plugin.trace_log import FOLDER as TRACES
from verl_ext.preflight.models import expand_paths, warn_of_rate
from verl_ext.recipe.base import (
    EMBEDDED_DATA,
    RecipeCallback,
    is_embedded,
    latest_step,
    log_places,
    run_dir,
)

EMBEDDED_MODEL = "halluc:warm-start"
DRAWN, LONGEST_DRAWN = 3, 400
"""Number of answers that a report draws, and their largest number of tokens."""
PAGE = "answers.html"
"""The page of a run's answers, in its folder."""


class RunCallback(RecipeCallback):
    """Prepares and reports one run of ``verl.trainer.main_ppo``."""

    embedded: ClassVar[dict[str, str]] = {
        "actor_rollout_ref.model.path": EMBEDDED_MODEL,
        "data.train_files": EMBEDDED_DATA,
    }

    def prepare(self, config: DictConfig) -> None:
        """Check the input, fill in embedded names, and set the places of logs."""
        self._began = monotonic()
        self._embedded = all(
            name in str(OmegaConf.select(config, key)) for key, name in self.embedded.items()
        )
        _prepare(config)

    def check(self, config: DictConfig) -> None:
        """Check the input of a job whose config cannot be filled in."""
        _check_job(config)

    def report(self, config: DictConfig) -> None:
        """Print both validations and both models side by side, some answers, files, and further commands."""
        began = getattr(self, "_began", None)
        seconds = None if began is None else monotonic() - began
        _report(config, seconds, embedded=getattr(self, "_embedded", False))


def _prepare(config: DictConfig) -> None:
    from verl_ext.preflight.checks import check_run
    from verl_ext.preflight.names import require_ours
    from verl_ext.preflight.rows import complete_rows
    from verl_ext.run_settings import complete

    settings = _settings(config)
    with open_dict(config):
        complete(config, settings)
        require_ours(config)
        _fill_in_embedded(config, settings)
        expand_paths(config.actor_rollout_ref.model)
        complete_rows(config, check_run(config, settings))
        _place_logs(config)
    _check_start(config)


def _check_job(config: DictConfig) -> None:
    """Check a job as :func:`_prepare` does; what that would fill in must be there."""
    from verl_ext.preflight.checks import check_run
    from verl_ext.preflight.names import require_ours
    from verl_ext.preflight.rows import require_rows
    from verl_ext.run_settings import check

    settings = _settings(config)
    check(config, settings)
    require_ours(config)
    require_rows(config, check_run(config, settings))
    _check_start(config)


def _settings(config: DictConfig) -> Any:
    from halluc_plugin.settings import load
    from verl_ext.compat import require_tested_verl
    from verl_ext.recipe.check import require_main_ppo

    require_tested_verl()
    require_main_ppo(config)
    return load(OmegaConf.to_container(config.halluc, resolve=True))


def _check_start(config: DictConfig) -> None:
    from verl_ext.recipe.resumption import check_resumption

    check_resumption(config, model="actor_rollout_ref.model.path")
    warn_of_rate(
        config, model="actor_rollout_ref.model", rate="actor_rollout_ref.actor.optim.lr", usual="1e-6"
    )


def _fill_in_embedded(config: DictConfig, settings: Any) -> None:
    """Replace the embedded names by paths; a user's own path is left alone."""
    from halluc_plugin import prepare

    asked = settings.prepare
    embedded = [is_embedded(files, asked.task) for files in (config.data.train_files, config.data.val_files)]
    if any(embedded):
        train, held_out = prepare.embedded_splits(asked)
        if embedded[0]:
            config.data.train_files = str(train)
        if embedded[1]:
            config.data.val_files = [str(path) for path in held_out]
    if config.actor_rollout_ref.model.path == EMBEDDED_MODEL:
        config.actor_rollout_ref.model.path = str(prepare.warm_started_model(asked))


def _place_logs(config: DictConfig) -> None:
    # Workers of a cluster that was there before do not run in the driver's folder.
    config.trainer.default_local_dir = str(run_dir(config))
    env_vars = config.ray_kwargs.ray_init.runtime_env.setdefault("env_vars", {})
    for name, value in log_places(config).items():
        # A user's own choice wins. The logger lives in a Ray worker, which sees the runtime environment.
        env_vars.setdefault(name, os.environ.get(name, value))
    if is_asked():  # workers of a cluster that was there before do not have the driver's environment
        env_vars.setdefault(ASKED, os.environ[ASKED])


def _report(config: DictConfig, seconds: float | None, *, embedded: bool) -> None:
    from halluc_plugin.report import read_validations, render, tell
    from halluc_plugin.settings import load
    from verl_ext.recipe.phases import report_phases

    metrics = Path(config.ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH).parent
    folder, model = run_dir(config), _latest_model(config)
    validations = read_validations(metrics)
    render(validations, _answers(config), {})
    settings = load(OmegaConf.to_container(config.halluc, resolve=True))
    told = report_phases(config, settings, model, seconds, embedded=embedded)
    page = _show_answers(folder) if (folder / TRACES).is_dir() else None
    where = {"run": str(folder), "metrics": str(metrics)} | ({"answers": str(page)} if page else {})
    tell(where | ({"model": str(model)} if model else {}) | ({"report": told} if told else {}))
    tell(_next_commands(config, model), heading="What to type next")
    if validations and validations[-1].step >= int(config.trainer.total_training_steps or sys.maxsize):
        sys.stdout.write(
            "The run is complete. To train on, raise trainer.total_training_steps; "
            "to start afresh, set trainer.resume_mode=disable or another trainer.experiment_name.\n"
        )


def _show_answers(folder: Path) -> Path | None:
    """Print some answers of the last step that was logged, edited ones first; returns a page of all."""
    from rich.console import Console

    from halluc_plugin.errors import HallucError
    from halluc_plugin.viewer import show
    from halluc_plugin.viewer.page import write_page
    from halluc_plugin.viewer.sources import read_sources

    page = folder / PAGE
    try:
        sources = read_sources([folder])
        write_page(sources, page)
    except HallucError as error:
        sys.stdout.write(f"No answers are drawn: {error}\n")
        return None
    known = [answer for source in sources for answer in source.answers]
    last = max(answer.step or 0 for answer in known)
    short = [answer for answer in known if answer.step == last and len(answer.tokens) <= LONGEST_DRAWN]
    console = Console()
    for answer in sorted(short, key=lambda answer: not answer.edits)[:DRAWN]:
        show(answer, console)
    return page


def _next_commands(config: DictConfig, model: Path | None) -> dict[str, str]:
    """What to do with a run that has ended: commands by what they are for."""
    folder, commands = run_dir(config), {}
    if model is not None:
        commands["score it"] = _scoring_command(config, model)
    if (folder / TRACES).is_dir():
        commands["read answers"] = shell("halluc", "view", folder)
    return commands


def _scoring_command(config: DictConfig, model: Path) -> str:
    """The lm_eval command for a checkpoint, on the run's own held-out problems where a task reads them."""
    from verl_ext.preflight.rows import asked_with

    backtracks = config.actor_rollout_ref.rollout.agent.default_agent_loop == "backtrack"
    kind, decoded = ("hf-backtrack", _decoded(config)) if backtracks else ("hf", {})
    command = ("lm_eval", "--model", kind, "--model_args")
    files = _val_files(config)
    if tasks := _tasks_on(files):
        ours = (*command, model_args(model, **decoded), "--tasks", tasks, "--batch_size", "64")
        return shell(*ours, HALLUC_DATA_DIR=files[0].parent.parent)
    task = "gsm8k_backtrack" if "openai/gsm8k" in _sources(config) else "TASK"
    # As training asks: by the chat template, without examples.
    template = asked_with(config)
    asked = model_args(model, **decoded, **({"chat_template_args": dict(template)} if template else {}))
    return shell(*command, asked, "--tasks", task, "--apply_chat_template", "--num_fewshot", "0")


def _tasks_on(files: list[Path]) -> str:
    """The lm-eval tasks that read these files, by the names of folder and files; empty for none."""
    from halluc_plugin.tasks import registry

    folder = files[0].parent.name
    if folder not in registry.names() or (evaluation := registry.load(folder).eval) is None:
        return ""
    splits = {path.stem for path in files}
    return ",".join(
        each.name for each in evaluation.splits if each.folder in {None, folder} and each.split in splits
    )


def _decoded(config: DictConfig) -> dict[str, Any]:
    """Arguments by which hf-backtrack decodes as the run did; greedily, hard context takes tabu.

    Where steps are taken back as a whole, it is the first token of a step that is not to come again.
    """
    from halluc_plugin.edits import Boundary, Context
    from halluc_plugin.settings import load

    settings = load(OmegaConf.to_container(config.halluc, resolve=True))
    budget = settings.stages[-1].max_backtracks
    tabu = "first" if _takes_back_steps(config) else True
    return {
        **({"context": "hard", "tabu": tabu} if settings.context is Context.HARD else {}),
        **({} if budget is None else {"max_backtracks": budget}),
        **({} if settings.boundary is Boundary.NOOP else {"boundary": str(settings.boundary)}),
    }


def _takes_back_steps(config: DictConfig) -> bool:
    """Whether the model has a token that takes back a step."""
    from halluc_plugin.tokens import STEP_TOKEN
    from halluc_plugin.tokens.loading import load_tokenizer

    model = config.actor_rollout_ref.model
    tokenizer = load_tokenizer(
        str(model.get("tokenizer_path") or model.path),
        trust_remote_code=bool(model.get("trust_remote_code", False)),
    )
    return STEP_TOKEN in tokenizer.get_vocab()


def _latest_model(config: DictConfig) -> Path | None:
    step = latest_step(config)
    model = step and step / "actor" / "huggingface"
    return model if model and any(model.glob("*.safetensors")) else None


def _answers(config: DictConfig) -> dict[str, int]:
    """Answers of each data source in a validation pass; empty where verl draws a part of the rows."""
    if int(config.data.val_max_samples) > 0:
        return {}
    repeats = int(config.actor_rollout_ref.rollout.val_kwargs.n)
    return {source: count * repeats for source, count in _sources(config).items()}


def _sources(config: DictConfig) -> Counter[str]:
    """Held-out problems of each data source."""
    from halluc_plugin.data.parquet import read_rows

    return Counter(
        row["data_source"] for path in _val_files(config) for row in read_rows(path, ("data_source",))
    )


def _val_files(config: DictConfig) -> list[Path]:
    from verl_ext.preflight.rows import data_files

    return data_files(config, "data.val_files")
