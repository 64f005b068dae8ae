"""Logged answers: written and read back, bounded in size, and shown in a terminal."""

import io
import json
import math
from dataclasses import asdict, replace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError
from halluc_plugin.trace_log import TraceLog, logged_steps, logged_trace, read_step
from halluc_plugin.viewer import EDIT, ERASED, answer, sampled, show

TEXTS = ["3", "+", "8", "\n", "<|BACKTRACK|>"]


class Words:
    """A tokenizer of the texts above."""

    def decode(self, ids):
        """The texts, joined."""
        return "".join(TEXTS[i] for i in ids)


@pytest.fixture
def trace():
    """``3 + 8 ⌫ 3 ↵``: one error, taken back."""
    return logged_trace(
        step=7, answer="u_0", prompt=[0, 2, 3], response=[0, 1, 2, 4, 0, 3],
        response_mask=[1, 1, 0, 1, 1, 1], advantages=[0.5, 0.5, 0.0, 0.5, 0.5, 0.5],
        reward=1.0, scores={"acc": 1.0, "num_events": 1.0}, tokenizer=Words(), vocab=EditVocab(backtrack=4),
    )  # fmt: skip


def shown(trace):
    """What the terminal gets, without colours."""
    console = Console(file=io.StringIO(), width=100)
    show(trace, console)
    return console.file.getvalue()


def test_what_is_written_is_read(trace, tmp_path):
    """A step's file holds its answers, field by field, and a step that is done again replaces it."""
    log = TraceLog(tmp_path, max_megabytes=1)
    log.write(7, [trace, trace])
    log.write(7, [trace])
    log.write(12, [replace(trace, step=12)])
    steps = logged_steps(tmp_path)
    assert list(steps) == [7, 12]
    assert read_step(steps[7]) == [trace]
    assert logged_steps(tmp_path / "traces") == steps


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0c", "\r"])
def test_a_line_break_of_unicode_ends_no_record(trace, tmp_path, character):
    """What a model samples may hold any character; a record is still one line."""
    sampled_one = replace(trace, tokens=["3", character], trace={**trace.trace, "resolved": character})
    TraceLog(tmp_path, max_megabytes=1).write(7, [sampled_one, trace])
    assert read_step(logged_steps(tmp_path)[7]) == [sampled_one, trace]


def test_an_empty_file_is_a_step_without_answers(tmp_path):
    """A disk that was full leaves one behind."""
    (tmp_path / "step-000001.jsonl").touch()
    assert read_step(tmp_path / "step-000001.jsonl") == []


def test_components_of_the_reward_are_shown(trace):
    """Those that a record has, unweighted, in a line of their own; a record without any has no such line."""
    assert "parts" not in shown(trace)
    told = shown(replace(trace, scores={"acc": 1.0, "outcome": 1.0, "backtrack": -0.25}))
    assert "parts    outcome 1  backtrack -0.25" in told


def test_the_record_by_hand(trace):
    """Texts of actions, and what became of each."""
    assert trace.prompt == "38\n"
    assert trace.tokens == ["3", "+", "8", "<|BACKTRACK|>", "3", "\n"]
    assert trace.trace["live"] == [1, 1, 0, 0, 1, 1]
    assert trace.trace["resolved"] == [0, 1, 0, 3]


def test_the_size_is_bounded(trace, tmp_path, caplog):
    """Past the limit nothing is written, after a restart too, and one warning names the setting."""
    size = len(json.dumps(trace.__dict__, ensure_ascii=False)) + 1
    log = TraceLog(tmp_path, max_megabytes=2.5 * size / 1e6)
    for step in (1, 2, 3, 4):
        log.write(step, [trace])
    assert list(logged_steps(tmp_path)) == [1, 2]
    assert caplog.text.count("halluc.trace_log.max_megabytes") == 1
    TraceLog(tmp_path, max_megabytes=2.5 * size / 1e6).write(5, [trace])
    assert list(logged_steps(tmp_path)) == [1, 2]


def test_a_folder_that_cannot_be_written(trace, tmp_path, caplog):
    """Training goes on, with one warning that says why."""
    (tmp_path / "traces").write_text("in the way")
    log = TraceLog(tmp_path, max_megabytes=1)
    log.write(1, [trace])
    log.write(2, [trace])
    assert caplog.text.count("training goes on") == 1


def test_what_is_known_of_each_action(trace):
    """Log-prob, entropy and P(edit) are kept with five decimals; what is no number of JSON's is null."""
    kept = logged_trace(
        step=7, answer="u_0", prompt=[0], response=[0, 4], response_mask=[1, 1], advantages=[0.5, 0.5],
        reward=1.0, scores={}, tokenizer=Words(), vocab=EditVocab(backtrack=4), data_source="mine",
        log_probs=[-0.1234567, -math.inf], entropies=[0.5, 1.0], edit_probs=[0.25, 1.0],
        event_values=[(0, 1)], verdicts=[True, True, True],
    )  # fmt: skip
    assert kept.log_probs == [-0.12346, None]
    assert (kept.entropies, kept.edit_probs) == ([0.5, 1.0], [0.25, 1.0])
    assert (kept.event_values, kept.verdicts) == ([[0.0, 1.0]], [True] * 3)
    assert kept.data_source == "mine"
    assert trace.log_probs is trace.entropies is trace.edit_probs is trace.verdicts is None


def test_a_record_of_version_1_has_blanks(trace, tmp_path):
    """It has the fields of before, and null where there were none."""
    new = {"data_source", "log_probs", "entropies", "edit_probs", "event_values", "verdicts"}
    old = {name: value for name, value in asdict(trace).items() if name not in new} | {"version": 1}
    (tmp_path / "step-000007.jsonl").write_text(json.dumps(old) + "\n")
    assert read_step(tmp_path / "step-000007.jsonl") == [replace(trace, version=1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is not a logged answer"),
        ('{"version": 9}', "version 9, this halluc reads 1 to 2"),
        ('{"version": 1}', "KeyError"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path, line, said):
    """File, line and reason are named."""
    path = tmp_path / "step-000001.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=f"line 1.*{said}"):
        read_step(path)


def test_colours(trace):
    """Erased tokens and edits have styles of their own, live ones none."""
    styles = {sampled(trace).plain[span.start : span.end]: span.style for span in sampled(trace).spans}
    assert styles == {"8": ERASED, "⌫": EDIT}
    assert sampled(trace).plain == "3+8⌫3↵ "
    assert answer(trace).plain == "3+3↵ "


def test_a_shown_answer(trace):
    """Step and name, reward, advantage and verdict, problem, trace and answer."""
    text = shown(trace)
    for part in ("step 7, u_0", "reward 1  advantage +0.50  acc 1  num_events 1", "3+8⌫3↵", "3+3↵"):
        assert part in text
    assert "advantages +0.00 to +0.50" in shown(replace(trace, response_mask=[1] * 6))
    assert "no action learns" in shown(replace(trace, response_mask=[0] * 6))


class TestCommand:
    """``halluc view``."""

    @pytest.fixture
    def run(self, trace, tmp_path):
        """Runs the command on two steps, of which the first has an answer without edits too."""
        plain = replace(trace, answer="plain", trace={**trace.trace, "events": []})
        log = TraceLog(tmp_path, max_megabytes=1)
        log.write(7, [trace, plain])
        log.write(9, [replace(plain, step=9)])
        return lambda *options: CliRunner().invoke(app, ["view", str(tmp_path), *options])

    def test_the_last_step_by_default(self, run):
        """Its answers."""
        assert "step 9, plain" in run().stdout

    def test_a_chosen_step_and_a_limit(self, run):
        """The first answers of it."""
        assert "plain" in run("--step", "7").stdout
        assert "plain" not in run("--step", "7", "--limit", "1").stdout

    def test_only_answers_with_edits(self, run):
        """Others are left out; where none is left, it says so."""
        assert "plain" not in run("--step", "7", "--edited").stdout
        assert "No answer of step 9 takes anything back." in run("--edited").stdout

    def test_bad_input(self, run, tmp_path):
        """A step that was not logged, and a folder that is no run."""
        assert "there are 2 steps, 7 to 9" in str(run("--step", "8").exception)
        nothing = CliRunner().invoke(app, ["view", str(tmp_path / "nothing")])
        assert "holds no traces" in str(nothing.exception)
