"""Whatever is raised in a callback of ours ends the process: Hydra alone would warn, and train unchecked."""

import builtins
from types import SimpleNamespace

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobStatus
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict

from halluc_plugin.errors import DataError, HallucError, MetricError
from verl_ext.recipe import base
from verl_ext.recipe.base import EXIT_BAD_INPUT, EXIT_FAULT
from verl_ext.recipe.callback import RunCallback
from verl_ext.recipe.sft_callback import SFTCallback

CALLBACKS = {
    "verl_ext.recipe.callback.RunCallback": RunCallback,
    "verl_ext.recipe.sft_callback.SFTCallback": SFTCallback,
}


class SpeechlessError(Exception):
    """Cannot tell what it is about."""

    def __str__(self):
        """Fails, too."""
        raise ValueError


UNEXPECTED = [
    ValueError("two\nlines"), TypeError("x"), KeyError("answer"), AttributeError("get"), RuntimeError(),
    UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "x"), RecursionError(), MemoryError(), StopIteration(),
    ExceptionGroup("several", [ValueError("x")]), SystemExit(0), SystemExit(), AssertionError(),
    OSError(28, "disk full"), SpeechlessError(),
]  # fmt: skip


@pytest.fixture(params=CALLBACKS)
def hydra(request, tmp_path, monkeypatch):
    """Our callback as Hydra holds it, its class, and the run's config."""
    monkeypatch.setattr(base, "write_cards", lambda *_: None)
    folder = {"default_local_dir": str(tmp_path / "run"), "experiment_name": "x"}
    config = OmegaConf.create(
        {
            "hydra": {"callbacks": {"halluc": {"_target_": request.param}}, "mode": RunMode.RUN},
            "trainer": folder,
            "data": {"train_files": "x"},
        }
    )
    return Callbacks(config), CALLBACKS[request.param], config


def raising(error):
    """A function that raises it, whatever it is given."""

    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize("error", UNEXPECTED, ids=repr)
def test_a_fault_of_ours_starts_nothing(hydra, monkeypatch, capsys, error):
    """Any exception at all: its traceback, then one line that names it, and a status that is not 0."""
    callbacks, class_, config = hydra
    monkeypatch.setattr(class_, "prepare", raising(error))
    with pytest.raises(SystemExit) as exit_:
        callbacks.on_run_start(config=config, config_name="x")
    assert exit_.value.code == EXIT_FAULT
    *traceback, last = capsys.readouterr().err.splitlines()
    assert last.startswith("halluc: Nothing was started: ")
    assert type(error).__name__ in last
    assert "Fix: " in last
    assert any(line.startswith("Traceback") or "Traceback" in line for line in traceback)


@pytest.mark.parametrize("error", [DataError("No rows.", "Give some."), ValueError("x")], ids=repr)
def test_nothing_starts_where_nobody_listens(hydra, monkeypatch, error):
    """A message that cannot be written (``2>&1 | head``) ends the run all the same."""
    callbacks, class_, config = hydra
    monkeypatch.setattr(class_, "prepare", raising(error))
    monkeypatch.setattr("sys.stderr", SimpleNamespace(write=raising(BrokenPipeError()), flush=lambda: None))
    with pytest.raises(SystemExit) as exit_:
        callbacks.on_run_start(config=config, config_name="x")
    assert exit_.value.code in {EXIT_BAD_INPUT, EXIT_FAULT}


def test_bad_input_is_one_line_alone(hydra, monkeypatch, capsys):
    """What is raised on purpose needs no traceback."""
    callbacks, class_, config = hydra
    monkeypatch.setattr(class_, "prepare", raising(DataError("No rows.", "Give some.")))
    with pytest.raises(SystemExit) as exit_:
        callbacks.on_run_start(config=config, config_name="x")
    assert exit_.value.code == EXIT_BAD_INPUT
    assert capsys.readouterr().err == "halluc: No rows. Fix: Give some.\n"


def test_the_keyboard_interrupts(hydra, monkeypatch):
    """As everywhere."""
    callbacks, class_, config = hydra
    monkeypatch.setattr(class_, "prepare", raising(KeyboardInterrupt()))
    monkeypatch.setattr(class_, "report", raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        callbacks.on_run_start(config=config, config_name="x")
    with pytest.raises(KeyboardInterrupt):
        callbacks.on_run_end(config=config, job_return=SimpleNamespace(status=JobStatus.COMPLETED))


@pytest.mark.parametrize("error", [*UNEXPECTED, MetricError("Accuracy 2.", "Give less.")], ids=repr)
def test_a_failing_report_says_that_the_run_is_complete(hydra, monkeypatch, capsys, error):
    """The training is done, and where it is; only the report is missing, which the status says too."""
    callbacks, class_, config = hydra
    monkeypatch.setattr(class_, "report", raising(error))
    with pytest.raises(SystemExit) as exit_:
        callbacks.on_run_end(config=config, job_return=SimpleNamespace(status=JobStatus.COMPLETED))
    assert exit_.value.code == EXIT_FAULT
    *traceback, last = capsys.readouterr().err.splitlines()
    folder = config.trainer.default_local_dir
    assert last.startswith(f"halluc: The run is complete, and its checkpoints are in {folder}; only the ")
    assert "Fix: " in last
    assert bool(traceback) != isinstance(error, HallucError)


def test_failing_model_cards_are_told_alike(hydra, monkeypatch, capsys):
    """They too come after the run."""
    callbacks, _, config = hydra
    monkeypatch.setattr(base, "write_cards", raising(OSError(28, "disk full")))
    with pytest.raises(SystemExit) as exit_:
        callbacks.on_run_end(config=config, job_return=SimpleNamespace(status=JobStatus.COMPLETED))
    assert exit_.value.code == EXIT_FAULT
    assert "halluc: The run is complete" in capsys.readouterr().err


def test_a_failed_run_is_not_called_complete(hydra, monkeypatch, capsys):
    """Its own error follows."""
    callbacks, class_, config = hydra
    monkeypatch.setattr(class_, "report", raising(ValueError()))
    callbacks.on_run_end(config=config, job_return=SimpleNamespace(status=JobStatus.FAILED))
    assert capsys.readouterr().err == ""


class TestSweeps:
    """``--multirun``: each job is checked when it starts, for Hydra calls nothing earlier for it."""

    @pytest.mark.parametrize("error", [DataError("No rows.", "Give some."), ValueError("x")], ids=repr)
    def test_what_a_check_raises_ends_the_sweep(self, hydra, monkeypatch, error):
        """At its first job; a single run has been checked by then, and is not again."""
        callbacks, class_, config = hydra
        monkeypatch.setattr(class_, "check", raising(error))
        callbacks.on_job_start(config=config, task_function=builtins.print)
        config.hydra.mode = RunMode.MULTIRUN
        with pytest.raises(SystemExit) as exit_:
            callbacks.on_job_start(config=config, task_function=builtins.print)
        assert exit_.value.code in {EXIT_BAD_INPUT, EXIT_FAULT}

    def test_what_starts_a_sweep_is_guarded_too(self, hydra, monkeypatch):
        """A config without the keys that are looked at, for example."""
        callbacks, class_, config = hydra
        monkeypatch.setattr(class_, "_refuse_embedded_sweep", raising(TypeError()))
        with pytest.raises(SystemExit) as exit_:
            callbacks.on_multirun_start(config=config, config_name="x")
        assert exit_.value.code == EXIT_FAULT

    def test_a_job_is_checked_as_a_run_is(self, config, capsys):
        """Bad data, and settings that only a single run can fill in, are refused; a good job is as it was."""
        good = job(config("trainer.experiment_name=one"))
        before = OmegaConf.to_yaml(good)
        RunCallback().on_job_start(good)
        assert OmegaConf.to_yaml(good) == before
        for override, said in (
            ("data.train_files=absent.jsonl", "absent.jsonl does not exist"),
            ("halluc.max_backtracks=2", "bans edit tokens during sampling, but"),
            ("halluc.context=hard", "halluc.context=hard"),
        ):
            with pytest.raises(SystemExit):
                RunCallback().on_job_start(job(config(override)))
            assert said in capsys.readouterr().err


def job(config):
    """A composed config as Hydra hands it to a job of a sweep."""
    with open_dict(config):
        config.hydra = {"mode": RunMode.MULTIRUN}
    return config
