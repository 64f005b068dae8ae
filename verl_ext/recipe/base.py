"""The common parts of all recipes' Hydra callbacks: when they act, how they refuse, where files are.

Hydra turns an exception of a callback into a warning and continues: training would start unchecked. Any
exception here therefore ends the process with one message.
"""

import copy
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import HallucError, SettingsError, in_one_line
from halluc_plugin.progress import report, tell
from verl_ext.recipe.model_cards import write_cards

EMBEDDED_DATA = "halluc:"
"""Beginning of the name of embedded data; the name of the task follows."""
EXIT_FAULT = 1
EXIT_BAD_INPUT = 2
_UNHEARD = suppress(OSError, ValueError)
"""Errors of an output that nothing reads any more (``2>&1 | head``), at which a run ends all the same."""


class RecipeCallback(Callback, ABC):
    """Acts before and after the host's own main; a recipe names a subclass by ``hydra.callbacks.halluc``.

    Attributes:
        embedded: Keys of the config that may hold an embedded name, and the name or its beginning.
    """

    embedded: ClassVar[dict[str, str]]

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the input and prepare what the recipe embeds; ``--cfg`` and ``--help`` do not get here."""
        with _refusing():
            tell("checking the run")
            self.prepare(config)
            tell("starting the workers")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a sweep that uses the embedded data or writes into one folder."""
        with _refusing():
            self._refuse_embedded_sweep(config)
            _refuse_one_folder(config)

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Check a job of a sweep, whose config cannot be filled in since Hydra has already copied it."""
        from hydra.types import RunMode

        with _refusing():
            if OmegaConf.select(config, "hydra.mode") == RunMode.MULTIRUN:
                self.check(copy.deepcopy(config))

    def on_run_end(self, config: DictConfig, job_return: Any = None, **_: Any) -> None:
        """Write the cards of the saved models, and report, if the run ended well.

        A failure here does not affect the run, and is printed.
        """
        from hydra.core.utils import JobStatus

        if job_return is None or job_return.status != JobStatus.COMPLETED:
            return
        try:
            write_cards(config, run_dir(config))
            with report():
                self.report(config)
        except (Exception, SystemExit) as error:
            if not isinstance(error, HallucError):
                traceback.print_exc()
            folder = config.trainer.default_local_dir
            sys.stderr.write(
                f"halluc: The run is complete, and its checkpoints are in {folder}; only the closing report "
                f"or the model cards failed. {_told(error)}\n"
            )
            raise SystemExit(EXIT_FAULT) from error

    @abstractmethod
    def prepare(self, config: DictConfig) -> None:
        """Check the input, and fill in ``config`` before anything starts."""

    @abstractmethod
    def check(self, config: DictConfig) -> None:
        """Check the input of a job that cannot be filled in; ``config`` is a copy."""

    @abstractmethod
    def report(self, config: DictConfig) -> None:
        """Print a report on what the run learned."""

    def _refuse_embedded_sweep(self, config: DictConfig) -> None:
        if any(name in str(OmegaConf.select(config, key)) for key, name in self.embedded.items()):
            own = " and ".join(f"{key}=..." for key in self.embedded)
            raise SettingsError(
                "--multirun cannot prepare the embedded model and data.",
                f"Run once without --multirun, then sweep with {own}.",
            )


def _refuse_one_folder(config: DictConfig) -> None:
    """Refuse a sweep into one folder, where each job would resume the checkpoint of the job before it."""
    keys = ("trainer.experiment_name", "trainer.default_local_dir")
    overrides = OmegaConf.select(config, "hydra.overrides.task", default=None)
    # As written: Hydra's own interpolations are known to a job alone.
    given = [] if overrides is None else OmegaConf.to_container(overrides, resolve=False)
    named = [override.split("=", 1)[1] for override in given if override.lstrip("+").split("=")[0] in keys]
    if not any("," in value or "${" in value for value in named):
        raise SettingsError(
            f"All jobs of the sweep would have the folder {run_dir(config)}: each would go on from the last "
            "one's checkpoint.",
            "Give each a name of its own: 'trainer.experiment_name=mine_${hydra:job.num}', for example.",
        )


@contextmanager
def _refusing() -> Iterator[None]:
    """End the process with a message if anything is raised; after a traceback if it was not on purpose."""
    try:
        yield
    except HallucError as error:
        with _UNHEARD:
            sys.stderr.write(f"halluc: {error}\n")
        raise SystemExit(EXIT_BAD_INPUT) from error
    except (Exception, SystemExit) as error:
        with _UNHEARD:
            traceback.print_exc()
            sys.stderr.write(f"halluc: Nothing was started: preparing the run failed. {_told(error)}\n")
        raise SystemExit(EXIT_FAULT) from error


def _told(error: BaseException) -> str:
    """An error as one line with its remedy."""
    if isinstance(error, HallucError):
        return str(error)
    return (
        f"{in_one_line(error)} Fix: See the traceback above; if it is not about a file of yours, report it "
        "with this line."
    )


def run_dir(config: DictConfig) -> Path:
    """Return the folder of a run's checkpoints and logs."""
    return Path(config.trainer.default_local_dir).absolute()


def log_places(config: DictConfig) -> dict[str, str]:
    """Return the environment variables that put metrics and TensorBoard files next to the checkpoints.

    A resumed run adds files and never truncates one.
    """
    metrics = run_dir(config) / "metrics" / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    metrics.parent.mkdir(parents=True, exist_ok=True)
    return {"VERL_FILE_LOGGER_PATH": str(metrics), "TENSORBOARD_DIR": str(run_dir(config) / "tensorboard")}


def is_embedded(files: Any, task: str) -> bool:
    """Return whether a setting names embedded data, which must be those of this task.

    Raises:
        SettingsError: The setting names the data of another task.
    """
    if not isinstance(files, str) or not files.startswith(EMBEDDED_DATA):
        return False
    if files != f"{EMBEDDED_DATA}{task}":
        raise SettingsError(
            f"The data are {files}, and halluc.prepare.task is {task}.",
            f"Give {EMBEDDED_DATA}{task}, or choose the task by halluc/task=NAME, which sets both.",
        )
    return True


def latest_step(config: DictConfig) -> Path | None:
    """Return the folder of the last checkpoint, None if there is none."""
    marker = run_dir(config) / "latest_checkpointed_iteration.txt"
    if not marker.exists():
        return None
    return run_dir(config) / f"global_step_{marker.read_text(encoding='utf-8').strip()}"
