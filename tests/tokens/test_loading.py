"""Loading: damaged files, code that models bring along, generation configs that contradict themselves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from halluc_plugin.checks import CheckStatus
from halluc_plugin.cli.app import app
from halluc_plugin.doctor import model as doctor
from halluc_plugin.errors import TokenizerError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownFiles
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab
from halluc_plugin.tokens.loading import (
    load_config,
    load_generation_config,
    load_model,
    load_token_classifier,
    load_tokenizer,
    save_tokenizer,
)
from halluc_plugin.tokens.untouched import untouched_tokens

HALLUC = (sys.executable, "-c", "from halluc_plugin.cli.app import main; main()")


@pytest.fixture
def source(tmp_path):
    """A saved model with the backtrack token."""
    tokenizer, folder = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), tmp_path / "model"
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def run(*arguments):
    """Run a command."""
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=True)


def truncated(path):
    """Half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = {
    "tokenizer.json is no JSON": lambda f: (f / "tokenizer.json").write_text("{broken"),
    "tokenizer.json is empty": lambda f: (f / "tokenizer.json").write_text(""),
    "tokenizer.json is another JSON": lambda f: (f / "tokenizer.json").write_text("[]"),
    "tokenizer.json lacks all": lambda f: (f / "tokenizer.json").write_text("{}"),
    "tokenizer.json is truncated": lambda f: truncated(f / "tokenizer.json"),
    "config.json is no JSON": lambda f: (f / "config.json").write_text("not json"),
    "config.json is a list": lambda f: (f / "config.json").write_text("[]"),
    "config.json is not there": lambda f: (f / "config.json").unlink(),
    "weights are not there": lambda f: (f / "model.safetensors").unlink(),
    "weights are truncated": lambda f: truncated(f / "model.safetensors"),
    "weights are an empty file": lambda f: (f / "model.safetensors").write_bytes(b""),
    "a weight is not there": lambda f: without_a_weight(f / "model.safetensors"),
    "weights of another shape": lambda f: changed(f / "config.json", intermediate_size=100),
    "generation_config.json cannot be": lambda f: (f / "generation_config.json").write_text(
        '{"max_new_tokens": 0}'
    ),
}


def changed(path, **values):
    """Other values in a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def without_a_weight(path):
    """One tensor less."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    del tensors["model.norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})


class TestDamage:
    """Whatever is wrong with the files."""

    @pytest.mark.parametrize("damage", DAMAGE)
    def test_one_message_and_nothing_written(self, source, tmp_path, damage):
        """`halluc add-token` names the model; the folder that it was to write is not there."""
        DAMAGE[damage](source)
        done = run("add-token", "--model", source, "--out", tmp_path / "out")
        assert isinstance(done.exception, TokenizerError), done.exception
        assert str(source) in str(done.exception)
        assert "\n" not in str(done.exception)
        assert not (tmp_path / "out").exists()
        assert {path.name for path in tmp_path.iterdir()} == {"model"}

    @pytest.mark.parametrize("name", ["a file", "", " ", "/absent/model", "a b:c//d"])
    def test_what_is_no_model(self, tmp_path, monkeypatch, name):
        """A file, nothing, a folder that is not there, no name of the hub either."""
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a file").write_text("x", encoding="utf-8")
        for load in (load_tokenizer, load_model, load_config):
            with pytest.raises(TokenizerError, match="Fix: Give a folder"):
                load(name)
        (line,) = doctor.checks(name)
        assert line.status is CheckStatus.FAIL

    def test_a_generation_config_is_read_refused_or_not_there(self, source):
        """A broken one is no missing one, whose end of text would be lost without a word."""
        assert load_generation_config(str(source)).eos_token_id is not None
        (source / "generation_config.json").write_text("{", encoding="utf-8")
        with pytest.raises(TokenizerError, match="No generation config can be loaded"):
            load_generation_config(str(source))
        (source / "generation_config.json").unlink()
        assert load_generation_config(str(source)) is None


@pytest.mark.parametrize(
    "case",
    [
        ({"do_sample": False, "temperature": 0.9}, {"do_sample": False}, "temperature=0.9"),
        ({"temperature": 0.6, "top_p": 0.9, "top_k": 20}, {}, "temperature=0.6, top_k=20, top_p=0.9"),
        (
            {"num_beams": 1, "early_stopping": True, "length_penalty": 2.0, "do_sample": True, "top_p": 0.7},
            {"num_beams": 1, "do_sample": True, "top_p": 0.7},
            "early_stopping=True, length_penalty=2.0",
        ),
        ({"do_sample": True, "temperature": 0.9}, {"do_sample": True, "temperature": 0.9}, None),
    ],
)
def test_a_generation_config_that_cannot_be_saved(source, tmp_path, caplog, case):
    """A working model is written all the same; what was ignored is left out, and named."""
    given, kept, left_out = case
    (source / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, **given}))
    done = run("add-token", "--model", source, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    saved = json.loads((tmp_path / "out" / "generation_config.json").read_text(encoding="utf-8"))
    del saved["transformers_version"]
    assert saved == {"eos_token_id": 1, **kept}
    told = [record.getMessage() for record in caplog.records if record.name.startswith("halluc")]
    assert (len(told) == 1 and f": {left_out} is left out" in told[0]) if left_out else not told
    assert edit_vocab(load_tokenizer(str(tmp_path / "out"))).backtrack
    load_model(str(tmp_path / "out"))


MODELING = """
from transformers import Qwen3Config, Qwen3ForCausalLM

class OwnConfig(Qwen3Config):
    model_type = "own-qwen"

class OwnModel(Qwen3ForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def own_code(source):
    """A model that brings code along."""
    (source / "own.py").write_text(MODELING, encoding="utf-8")
    mapped = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    changed(source / "config.json", model_type="own-qwen", architectures=["OwnModel"], auto_map=mapped)
    changed(source / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    return source


class TestOwnCode:
    """Code that a model brings along."""

    def test_nothing_is_asked(self, own_code, tmp_path):
        """With an open stdin the command ends at once, by one line that names the option."""
        asked = [*HALLUC, "add-token", "--model", str(own_code), "--out", str(tmp_path / "out")]
        done = subprocess.run(
            asked, input="y\n" * 9, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 2
        assert "--trust-remote-code" in done.stderr.splitlines()[-1]
        assert "[y/N]" not in done.stdout + done.stderr
        assert not (tmp_path / "out").exists()

    def test_its_rows_are_looked_at_where_it_is_trusted(self, own_code):
        """Whether edit tokens were trained is told with the code, which runs only where it is trusted."""
        model, tokenizer = (
            load(str(own_code), trust_remote_code=True) for load in (load_model, load_tokenizer)
        )
        added = tokenizer.get_vocab()[BACKTRACK_TOKEN]
        with torch.no_grad():
            for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
                layer.weight[added] = layer.weight[:added].mean(0)
        model.save_pretrained(own_code)
        assert untouched_tokens(own_code, tokenizer, trust_remote_code=True) == (BACKTRACK_TOKEN,)
        with pytest.raises(TokenizerError, match="brings code of its own"):
            untouched_tokens(own_code, tokenizer)

    def test_trusted_code_is_run_and_saved(self, own_code, tmp_path):
        """`add-token --trust-remote-code` writes a model that loads the same way."""
        done = run(
            "add-token", "--model", own_code, "--out", tmp_path / "out", "--trust-remote-code", "--step"
        )
        assert done.exit_code == 0, done.output
        model = load_model(str(tmp_path / "out"), trust_remote_code=True)
        assert type(model).__name__ == "OwnModel"
        assert (tmp_path / "out" / "own.py").exists()
        with pytest.raises(TokenizerError, match=r"brings code of its own.*--trust-remote-code"):
            load_model(str(tmp_path / "out"))

    @pytest.mark.parametrize(
        "command",
        [
            ("train", "--data", "traces.parquet", "--out", "out", "--steps", 1, "--batch-size", 1),
            ("match", "--data", "traces.parquet", "--out", "out", "--steps", 1, "--batch-size", 1),
            ("search", "--data", "problems.parquet", "--method", "greedy", "--limit", 1, "--max-tokens", 2),
            (
                "data",
                "correct",
                "--data",
                "problems.parquet",
                "--out",
                "out",
                "--limit",
                1,
                "--max-tokens",
                2,
            ),
            ("data", "verdicts", "--data", "problems.parquet", "--out", "o.parquet", "--limit", 1),
        ],
    )
    def test_every_command_has_the_option(self, own_code, tmp_path, monkeypatch, command):
        """Refused without it by the same message; with it the model is loaded."""
        monkeypatch.chdir(tmp_path)
        files = self.files(tmp_path)
        asked = [files.get(word, word) for word in command] + ["--model", own_code]
        refused = run(*asked)
        assert "--trust-remote-code" in str(refused.exception)
        trusted = run(*asked, "--trust-remote-code")
        assert "--trust-remote-code" not in str(trusted.exception), trusted.exception

    def files(self, folder):
        """Problems and traces of a small Countdown."""
        asked = ("--train", 8, "--test", 4)
        assert run("data", "countdown", "--out", folder, *asked).exit_code == 0
        made = CountdownFiles(folder)
        return {"traces.parquet": made.traces, "problems.parquet": folder / "countdown" / "test_seen.parquet"}

    def test_the_doctor(self, own_code):
        """Says it in its line about loading."""
        from halluc_plugin.doctor.model import checks

        (line,) = checks(str(own_code))
        assert "--trust-remote-code" in line.fix
        assert checks(str(own_code), trust_remote_code=True)[0].status == "ok"


def test_loading_is_loading(source):
    """A whole model comes back as it was."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    model = new_model(tokenizer, Size.TINY, seed=0)
    loaded = load_model(str(source), dtype="float32")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    assert Path(loaded.name_or_path) == source


def test_a_token_classifier_gets_a_head_only_where_it_is_asked_for(source):
    """A language model has none; trunks are never drawn at random."""
    assert load_token_classifier(str(source), new_head=True, num_labels=1).score.out_features == 1
    with pytest.raises(TokenizerError, match=r"lacks 2 of its model's weights \(score.bias, score.weight\)"):
        load_token_classifier(str(source), num_labels=1)
