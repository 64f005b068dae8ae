"""`halluc data inject | align | correct | verdicts`, with a small model that knows two answers."""

import json
import shlex

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import read_rows_in_groups, write_parquet
from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import collapse
from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from halluc_plugin.jobs import samplers
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import EDIT_TOKENS, edit_vocab
from halluc_plugin.tokens.loading import load_tokenizer
from halluc_plugin.training import TrainSettings, fine_tune

ANSWER = "3+4=7\n7*7=9\n"


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and all edit tokens."""
    return number_tokenizer(edit_tokens=EDIT_TOKENS)


@pytest.fixture(scope="module")
def model(tokenizer, tmp_path_factory):
    """Knows two answers to 1 + 1, a right and a wrong one."""
    folder = tmp_path_factory.mktemp("model")
    prompt = tokenizer.encode("1 +1 mod 10\n")
    answers = [[*tokenizer.encode(answer), tokenizer.eos_token_id] for answer in ("1+1=2\n", "1+1=3\n")]
    write_traces(folder / "t.parquet", [TraceRow(prompt, answer) for answer in answers], tokenizer)
    settings = TrainSettings(steps=40, batch_size=2, learning_rate=3e-3, warmup_steps=5)
    new = new_model(tokenizer, Size.TINY, seed=0)
    fine_tune(new, tokenizer, [folder / "t.parquet"], settings, folder, show_progress=False)
    return folder


class TestCommands:
    """`halluc data inject | align | correct | verdicts`."""

    def invoke(self, *args):
        """Run a command that must succeed."""
        result = CliRunner().invoke(app, ["data", *map(str, args)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def test_inject_and_align(self, tokenizer, references, model, tmp_path):
        """Both write trace files that training reads, and say what is in them."""
        for name, args in (
            ("inject", ("--tokenizer", model, "--error-rate", "0.5")),
            ("align", ("--model", model)),
        ):
            out = tmp_path / f"{name}.parquet"
            self.invoke(name, "--data", references, "--out", out, *args)
            card = json.loads(out.with_suffix(".card.json").read_text())
            rows = read_traces(out, tokenizer)
            assert len(rows) == card["count"] == card["clean"] + card["backtracking"]
            vocab = edit_vocab(tokenizer)
            answers = {tokenizer.decode(collapse(row.response_ids, vocab)[:-1]) for row in rows}
            assert answers == {ANSWER, "1+1=2\n"}

    def test_words_need_no_token(self, references, tmp_path):
        """The twin in words is written for a tokenizer that has never seen an edit."""
        number_tokenizer().save_pretrained(tmp_path / "plain")
        out = tmp_path / "words.parquet"
        args = ("--data", references, "--tokenizer", tmp_path / "plain", "--error-rate", "0.5", "--out", out)
        self.invoke("inject", *args, "--marker", "?\n")
        rows = read_traces(out, load_tokenizer(str(tmp_path / "plain")))
        assert any(any(row.erased) for row in rows)
        with pytest.raises(TokenizerError, match="no token"):
            self.invoke("inject", *args)

    def test_correct(self, tokenizer, references, model, tmp_path):
        """The card counts the answers; right ones and corrections are files that training reads."""
        out = tmp_path / "own"
        args = ["correct", "--data", references, "--model", model, "--out", out, "-k", "12"]
        self.invoke(*args, "--max-tokens", "9", "--depth", "error", "--context", "hard")
        card = json.loads((out / "card.json").read_text())
        assert card["problems"] == 2
        assert card["answers"] > card["wrong"] > 0
        right, corrected = (
            read_traces(out / f"{kind}.parquet", tokenizer) for kind in ("right", "corrected")
        )
        assert (len(right), len(corrected)) == (card["right"], card["corrected"])
        assert {tokenizer.decode(row.response_ids, skip_special_tokens=True) for row in right} == {"1+1=2\n"}
        vocab = edit_vocab(tokenizer)
        for row in corrected:
            assert vocab.backtrack in row.response_ids
            assert tokenizer.decode(collapse(row.response_ids, vocab)[:-1]) == "1+1=2\n"
        assert corrected
        assert {file.name for file in out.iterdir()} == {"right.parquet", "corrected.parquet", "card.json"}

    def test_verdicts(self, tokenizer, references, model, tmp_path):
        """Each distinct answer stands in a prompt, and behind it 1 or 0, as its verifier judges."""
        out = tmp_path / "verdicts.parquet"
        args = ["verdicts", "--data", references, "--model", model, "--out", out, "-k", "12"]
        self.invoke(*args, "--max-tokens", "9", "--ban-edits", "--temperature", "1")
        card = json.loads(out.with_suffix(".card.json").read_text())
        rows = read_traces(out, tokenizer)
        assert card["problems"] == 2
        assert len(rows) == len({tuple(row.prompt_ids) for row in rows}) == card["count"]
        said = [tokenizer.decode(row.response_ids) for row in rows]
        assert (said.count("1"), said.count("0")) == (card["right"], card["wrong"])
        for row, verdict in zip(rows, said, strict=True):
            asked, answer = tokenizer.decode(row.prompt_ids, skip_special_tokens=True).split("\n", 1)
            right = "1+1=2\n" if asked.startswith("1 +1") else ANSWER
            assert (answer == right) == (verdict == "1")
        assert card["right"] > 0
        assert card["wrong"] > 0

    @pytest.mark.parametrize("command", ["correct", "align", "verdicts"])
    def test_what_was_sampled_is_kept(self, references, model, tmp_path, monkeypatch, command):
        """Stopped while it samples, a command called again goes on, and writes what it would have written."""
        rows = [row for row in read_rows_in_groups(references) for _ in range(6)]
        write_parquet(tmp_path / "rows.parquet", rows, {})
        args = [command, "--data", tmp_path / "rows.parquet", "--model", model, "--max-tokens", "9"]
        args += ["--samples", "8"]  # four problems of the twelve are sampled together
        sample, calls = HFSampler.sample, []

        def counted(sampler, requests):
            calls.append(len(requests))
            if stop_at == len(calls):
                raise KeyboardInterrupt
            return sample(sampler, requests)

        monkeypatch.setattr(HFSampler, "sample", counted)
        whole, stopped = (tmp_path / name / f"{command}.parquet" for name in ("whole", "stopped"))
        stop_at = None
        self.invoke(*args, "--out", whole)
        needed, per_part = len(calls), len(calls) // 3
        assert per_part * 3 == needed
        calls.clear()
        stop_at = 2 * per_part + 1
        result = CliRunner().invoke(app, ["data", *map(str, args), "--out", str(stopped)])
        assert result.exit_code == 130 or isinstance(result.exception, (KeyboardInterrupt, SystemExit))
        calls.clear()
        stop_at = None
        self.invoke(*args, "--out", stopped)
        assert len(calls) == per_part
        for file in [whole] if whole.is_file() else sorted(whole.glob("*.parquet")):
            again = stopped / file.name if stopped.is_dir() else stopped
            assert file.read_bytes() == again.read_bytes()

    def test_corrections_stopped_while_they_are_written_are_kept(
        self, references, model, tmp_path, monkeypatch
    ):
        """Stopped when all is sampled and the files are not all there, `correct` samples nothing again."""
        args = ["data", "correct", "--data", references, "--model", model, "--out", tmp_path / "own"]
        args = [*map(str, args), "--max-tokens", "9"]

        def stop(*_, **__):
            raise KeyboardInterrupt

        with monkeypatch.context() as stopped:
            stopped.setattr("halluc_plugin.own_errors.correction_files.write_card", stop)
            assert CliRunner().invoke(app, args).exit_code != 0
        monkeypatch.setattr(HFSampler, "sample", stop)
        self.invoke(*args[1:])
        assert (tmp_path / "own" / "card.json").is_file()
        assert [path.name for path in (tmp_path / "own").glob(".*")] == []

    def test_next_steps_can_be_pasted(self, references, model, tmp_path):
        """The commands that are printed at the end are read by the command line as they stand."""
        out = tmp_path / "a b, c='d'" / "v.parquet"
        said = self.invoke(
            "verdicts", "--data", references, "--model", model, "--out", out, "--max-tokens", "9"
        )
        train, search = (
            shlex.split(line.partition(": ")[2]) for line in said.splitlines() if ": halluc " in line
        )
        assert train[:2] == ["halluc", "train"]
        assert train[train.index("--data") + 1] == str(out)
        assert train[train.index("--out") + 1] == search[search.index("--verifier") + 1]
        for _, *words in (train, search):
            get_command(app).commands[words[0]].make_context(words[0], words[1:]).close()

    def test_nothing_right(self, references, model, tmp_path):
        """Where no answer is right there is nothing to write, and the message says what to try."""
        args = ["correct", "--data", references, "--model", model, "--out", tmp_path / "own", "-k", "1"]
        with pytest.raises(DataError, match="answered none"):
            self.invoke(*args, "--max-tokens", "2")

    def test_bad_input_is_found_before_the_model_is_loaded(self, references, model, tmp_path, monkeypatch):
        """A file that is missing, and a temperature at which all answers are the same."""
        monkeypatch.setattr(samplers, "open_sampler", None)  # would fail if it were called
        for command in ("align", "correct"):
            args = [command, "--model", model, "--out", tmp_path / "x", "--data"]
            with pytest.raises(DataError, match="does not exist"):
                self.invoke(*args, tmp_path / "none.parquet")
            with pytest.raises(SettingsError, match="temperature 0"):
                self.invoke(*args, references, "--temperature", "0")

    def test_bad_lengths_are_refused(self, references, model, tmp_path):
        """Before anything is read."""
        args = [
            "inject",
            "--data",
            references,
            "--tokenizer",
            model,
            "--out",
            tmp_path / "x",
            "--lengths",
            "0",
        ]
        with pytest.raises(SettingsError, match="--lengths"):
            self.invoke(*args)
