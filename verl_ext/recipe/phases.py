"""Write ``report.json``: start and end of a run side by side, with the token and with the token banned."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

import halluc_plugin
from halluc_plugin.errors import DataError, HallucError
from halluc_plugin.progress import tell
from halluc_plugin.run_metrics import RunMetrics, read_run
from halluc_plugin.settings import Settings
from verl_ext.preflight.rows import asked_with, data_files
from verl_ext.recipe.base import run_dir
from verl_ext.run_settings import has_reward_function, judged_by_model

if TYPE_CHECKING:
    from halluc_plugin.jobs.phases import Phase, PhaseJob, ShippedPhase

ANSWERED = ("backtrack", "single_turn_agent")
"""Agent loops whose answers are sampled here in the same way."""
COLUMNS = {
    "base": "base",
    "start": "start",
    "after_rl": "after RL",
    "clean_twin": "clean twin, after GRPO",
}
"""Headings of the phases in the table."""
SHIPPED = Path(halluc_plugin.__file__).parent / "recipes" / "halluc" / "task"
"""Folder in which the figures of a task's clean twin may be, as ``TASK_twin.json``."""


def report_phases(
    config: DictConfig,
    settings: Settings,
    last: Path | None,
    seconds: float | None,
    *,
    embedded: bool = False,
) -> str:
    """Sample answers of the first and the last model, print their figures, and write the report.

    Args:
        config: The config of the run.
        settings: The settings of the run.
        last: The last model of the run; None if none was saved.
        seconds: Duration of the run in seconds; None if it is not known.
        embedded: Whether the run began from the embedded model on embedded data. Then the model before its
            warm start is measured, too, and the figures of the clean twin are those that come with the task,
            if it has any.

    Returns:
        The path of the file, or the reason why there is none; empty if none was asked for.
    """
    if not settings.report.problems:
        return ""
    first = Path(str(config.actor_rollout_ref.model.path))
    if reason := _reason(config, settings, first, last):
        return f"not written: {reason}"
    assert last is not None  # _reason
    from halluc_plugin.jobs.phases import write_report
    from halluc_plugin.report import render_phases

    job = _job(config, settings)
    try:
        phases = _measured(settings, job, first, last, embedded)
    except HallucError as error:
        return f"not written: {error}"
    render_phases({COLUMNS[name]: phase for name, phase in phases.items()})
    path = write_report(
        run_dir(config),
        task=job.data.parent.name,
        seed=settings.prepare.seed,
        seconds=seconds,
        phases=phases,
        metrics=_metrics(run_dir(config)),
    )
    return str(path)


def _measured(
    settings: Settings, job: "PhaseJob", first: Path, last: Path, embedded: bool
) -> "dict[str, Phase | ShippedPhase]":
    """The phases in the order in which they are shown."""
    from halluc_plugin import prepare
    from halluc_plugin.jobs.phases import measure, shipped_phase

    asked = settings.prepare
    phases: dict[str, Phase | ShippedPhase] = {}
    models = ({"base": prepare.scratch_model(asked)} if embedded else {}) | {"start": first, "after_rl": last}
    for done, (name, model) in enumerate(models.items()):
        tell("asking the models once more", done, len(models))
        phases[name] = measure(model, job).phase
    if embedded and (twin := shipped_phase(SHIPPED / f"{asked.task}_twin.json", asked.options)):
        phases["clean_twin"] = twin
    return phases


def _metrics(folder: Path) -> RunMetrics | None:
    """What the run logged; None where verl's file logger is off."""
    try:
        return read_run(folder)
    except DataError:
        return None


def _reason(config: DictConfig, settings: Settings, first: Path, last: Path | None) -> str:
    """Why nothing can be measured; empty if it can."""
    from halluc_plugin.data.parquet import read_rows
    from halluc_plugin.tasks import find_verifier
    from halluc_plugin.verifiers import PrefixVerifier

    if last is None or not all((path / "config.json").is_file() for path in (first, last)):
        return "the first or the last model is not in a folder here"
    weights = sum(path.stat().st_size for path in first.glob("*.safetensors"))
    if weights > settings.report.max_megabytes * 10**6:
        return f"the model has more than halluc.report.max_megabytes={settings.report.max_megabytes:g}"
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    if loop not in ANSWERED:
        return f"answers of the agent loop {loop} are not asked for again"
    if has_reward_function(config) or judged_by_model(config):
        return "answers are not judged by a verifier of ours"
    path = data_files(config, "data.val_files")[0]
    sources = {row["data_source"] for row in read_rows(path, ("data_source",))}
    if not all(isinstance(find_verifier(source), PrefixVerifier) for source in sources):
        return "no verifier of ours judges prefixes of these answers"
    return ""


def _job(config: DictConfig, settings: Settings) -> "PhaseJob":
    from halluc_plugin.jobs.phases import PhaseJob

    return PhaseJob(
        data_files(config, "data.val_files")[0],
        settings.report.problems,
        int(config.data.max_response_length),
        context=settings.context,
        boundary=settings.boundary,
        max_backtracks=settings.stages[-1].max_backtracks,
        step_delimiter=settings.tokens.step_delimiter,
        seed=settings.prepare.seed,
        template_kwargs=asked_with(config),
        trust_remote_code=bool(config.actor_rollout_ref.model.get("trust_remote_code", False)),
    )
