"""What samples if nobody says: vLLM where it is installed and its start pays, and the line that says so."""

import importlib.util

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.jobs import samplers
from halluc_plugin.jobs.samplers import LARGE, Backend, usual_backend
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer


@pytest.fixture
def installed(monkeypatch):
    """Says whether vLLM is there."""
    find = importlib.util.find_spec

    def say(there):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: (there or None) if name == "vllm" else find(name)
        )

    return say


@pytest.mark.parametrize(
    ("there", "size", "only_hf", "backend", "why"),
    [
        (True, LARGE, None, Backend.VLLM, "it is installed, and the model has 50.0M parameters"),
        (True, LARGE - 10**6, None, Backend.HF, "49.0M parameters, for which starting vLLM does not pay"),
        (False, LARGE, None, Backend.HF, "vLLM is not installed"),
        (True, LARGE, "beams", Backend.HF, "beams"),
    ],
)
def test_the_engine_and_its_reason(monkeypatch, installed, there, size, only_hf, backend, why):  # noqa: PLR0917
    """The engine is chosen by what is asked, what is installed and how large the model is."""
    installed(there)
    monkeypatch.setattr(samplers, "parameters_of", lambda *_, **__: size)
    found, reason = usual_backend("model", only_hf)
    assert found is backend
    assert why in reason


def test_the_command_says_which(tmp_path):
    """One line of standard error names the engine and why; `--quiet` leaves it out."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    row = {
        "data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "1"}],
        "extra_info": {"index": 0}, "reward_model": {"ground_truth": "1"},
    }  # fmt: skip
    write_parquet(tmp_path / "rows.parquet", [row], {})
    asked = ["search", "--model", tmp_path / "model", "--data", tmp_path / "rows.parquet", "--max-tokens", 4]
    loud, quiet = (CliRunner().invoke(app, [*map(str, asked), *more]) for more in ((), ("--quiet",)))
    assert "Sampling with hf (" in loud.stderr
    assert "Sampling with" not in quiet.stderr
