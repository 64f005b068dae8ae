"""Fine-tuning under torchrun is fine-tuning: the same losses and gradients as in one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.dagger import DaggerSettings, imitate_expert
from halluc_plugin.training.low_rank import check_low_rank
from halluc_plugin.training.match_settings import MatchSettings
from halluc_plugin.training.matching import match_sequences

SCRIPT = Path(__file__).with_name("two_processes.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def traces(tmp_path):
    """Traces without errors, of very different lengths: soft and hard context see the same."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    rows = [
        TraceRow(
            tokenizer.encode(f"{n}\n"), tokenizer.encode(" ".join(map(str, range(n, n + 1 + 5 * (n % 4)))))
        )
        for n in range(16)
    ]
    write_traces(tmp_path / "traces.parquet", rows, tokenizer)
    return tmp_path / "traces.parquet"


def logged(traces, folder, *launcher):
    """What a run of the script logs."""
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    asked = [sys.executable, *launcher, str(SCRIPT), str(traces), str(folder)]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "logged.json").read_text(encoding="utf-8"))


@pytest.mark.e2e
@pytest.mark.slow
def test_two_processes_are_one_run(traces, tmp_path):
    """Loss and gradient norm agree: soft with hard, two processes with one, split batches with whole."""
    one = logged(traces, tmp_path / "one")
    both = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0", "--standalone")
    two = logged(traces, tmp_path / "two", *both)
    expected = one["soft-None"]
    assert len(expected) == 3
    assert expected[0][0] == pytest.approx(6.5, abs=0.3)  # a random model over 675 ids
    for run in (one, two):
        for name, steps in run.items():
            for step, wanted in zip(steps, expected, strict=True):
                assert step == pytest.approx(wanted, rel=2e-3), name
    assert not list((tmp_path / "two").rglob("checkpoints"))
    assert len(list((tmp_path / "two" / "hard-1").rglob("events*"))) == 1


class TestRefusals:
    """What cannot be shared is refused before anything is trained."""

    def test_a_batch_that_cannot_be_divided(self, traces, tmp_path, monkeypatch):
        """Rather than train on fewer or more traces than were asked for."""
        monkeypatch.setenv("WORLD_SIZE", "3")
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        model = new_model(tokenizer, Size.TINY, seed=0)
        with pytest.raises(SettingsError, match=r"batch_size is 4, for 3 devices.*multiple of 3"):
            fine_tune(model, tokenizer, [traces], TrainSettings(steps=1, batch_size=4), tmp_path / "out")

    def test_what_trains_on_one_device(self, traces, tmp_path, monkeypatch):
        """Low-rank updates, SequenceMatch and DAgger, also where the devices are processes."""
        monkeypatch.setenv("WORLD_SIZE", "2")
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        model = new_model(tokenizer, Size.TINY, seed=0)
        with pytest.raises(SettingsError, match="2 devices: low-rank"):
            check_low_rank(2, tmp_path)
        with pytest.raises(SettingsError, match="2 devices: SequenceMatch"):
            match_sequences(
                model, tokenizer, [traces], TrainSettings(), tmp_path / "out", matching=MatchSettings()
            )
        with pytest.raises(SettingsError, match="2 devices: DAgger"):
            imitate_expert(
                model, tokenizer, [traces], TrainSettings(), tmp_path / "out", dagger=DaggerSettings()
            )
