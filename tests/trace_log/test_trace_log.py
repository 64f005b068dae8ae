"""Logged answers: written and read back, within a size, and resumed."""

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError
from halluc_plugin.trace_log import TraceLog, logged_steps, logged_trace, read_step

TEXTS = ["3", "+", "8", "\n", "<|BACKTRACK|>"]


class Words:
    """A tokenizer of the texts above."""

    def decode(self, ids):
        """The texts, joined."""
        return "".join(TEXTS[i] for i in ids)


@pytest.fixture(scope="module")
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


def size_of(trace):
    """The size of its line in megabytes."""
    return (len(json.dumps(trace.__dict__, ensure_ascii=False)) + 1) / 1e6


def test_the_oldest_steps_make_room(trace, tmp_path, caplog):
    """At the limit the newest steps stay, after a restart too, and one warning names the setting."""
    limit = 2.5 * size_of(trace)
    log = TraceLog(tmp_path, limit)
    for step in (1, 2, 3, 4):
        log.write(step, [trace])
    assert list(logged_steps(tmp_path)) == [3, 4]
    assert caplog.text.count("halluc.trace_log.max_megabytes, the oldest are deleted") == 1
    TraceLog(tmp_path, limit).write(5, [trace])
    assert list(logged_steps(tmp_path)) == [4, 5]


def test_a_resumed_run_goes_on_with_the_numbers(trace, tmp_path):
    """Resumed behind step 2 of 4, it replaces 3 and 4 and adds 5: each step is there once, none is lost."""
    TraceLog(tmp_path, 1).write(1, [trace])
    before = TraceLog(tmp_path, 1)
    for step in (2, 3, 4):
        before.write(step, [replace(trace, step=step, answer="before")])
    resumed = TraceLog(tmp_path, 1)
    for step in (3, 4, 5):
        resumed.write(step, [replace(trace, step=step, answer="resumed")])
    kept = [(one.step, one.answer) for path in logged_steps(tmp_path).values() for one in read_step(path)]
    assert kept == [(7, "u_0"), (2, "before"), (3, "resumed"), (4, "resumed"), (5, "resumed")]


def test_a_step_done_again_takes_no_room_twice(trace, tmp_path):
    """What it replaces does not count, so nothing else is deleted."""
    log = TraceLog(tmp_path, 2.5 * size_of(trace))
    for step in (1, 2, 2, 2):
        log.write(step, [trace])
    assert list(logged_steps(tmp_path)) == [1, 2]


def test_steps_that_the_run_before_had_reached_go_first(trace, tmp_path):
    """A run resumed behind step 2 of 4 keeps 1 and 2, which are its own past, and not 4."""
    limit = 4.5 * size_of(trace)
    before = TraceLog(tmp_path, limit)
    for step in (1, 2, 3, 4):
        before.write(step, [trace])
    TraceLog(tmp_path, limit).write(3, [trace, trace])
    assert list(logged_steps(tmp_path)) == [1, 2, 3]


def test_a_step_beyond_the_limit_is_left_out(trace, tmp_path, caplog):
    """It deletes no other step, what an earlier try of it left is gone, and later steps are logged."""
    log = TraceLog(tmp_path, 2.5 * size_of(trace))
    log.write(1, [trace])
    log.write(2, [trace])
    for step in (2, 3):
        log.write(step, [trace] * 3)
    log.write(4, [trace])
    assert list(logged_steps(tmp_path)) == [1, 4]
    assert caplog.text.count("are not logged") == 1


@given(
    runs=st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 3), max_size=6)), max_size=4),
    room=st.floats(0.5, 6),
)
@settings(deadline=None, max_examples=50)
def test_however_often_it_is_resumed(trace, tmp_path_factory, runs, room):
    """The files never exceed the limit, and the kept steps of a run are its last ones without a gap.

    All steps have one digit, so that their answers have one size.
    """
    place = tmp_path_factory.mktemp("run")
    for first, sizes in runs:
        log = TraceLog(place, room * size_of(trace))
        for step, size in enumerate(sizes, first):
            log.write(step, [replace(trace, step=step)] * size)
            held = {int(path.stem[5:]): path for path in (place / "traces").glob("*")}
            assert sum(path.stat().st_size for path in held.values()) <= room * size_of(trace) * 1e6
            assert (step in held) == (size <= room)
            own = [number for number, size in enumerate(sizes, first) if number <= step and size <= room]
            kept = [number for number in own if number in held]
            assert kept == own[len(own) - len(kept) :]


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
