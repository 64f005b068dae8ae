"""Logged answers: written and read back, and bounded in size."""

import json
import math
from dataclasses import asdict, replace

import pytest

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError
from halluc_plugin.trace_log import TraceLog, logged_steps, logged_trace, read_step

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
