"""The numbers of a run, as verl's file logger and as the small trainer write them."""

import json

import pytest

from halluc_plugin.errors import DataError
from halluc_plugin.run_metrics import read_run


def log(path, *records):
    """Write records, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_resumed_run_of_verl_is_one_run(tmp_path):
    """One file a start; a step that is logged again keeps what the first start alone knew."""
    log(
        tmp_path / "run/metrics/1.jsonl", {"step": 0, "data": {"a": 1}}, {"step": 2, "data": {"a": 2, "b": 3}}
    )
    log(tmp_path / "run/metrics/2.jsonl", {"step": 2, "data": {"a": 4.5}}, {"step": 3, "data": {"c": 5}})
    run = read_run(tmp_path / "run")
    assert run.name == "run"
    assert run.steps == {0: {"a": 1.0}, 2: {"a": 4.5, "b": 3.0}, 3: {"c": 5.0}}
    assert run.values("a") == {0: 1.0, 2: 4.5}
    assert run.values("nothing") == {}


def test_the_small_trainers_file_is_read_too(tmp_path):
    """By its folder or by itself; its lines hold step and numbers side by side."""
    log(tmp_path / "metrics.jsonl", {"step": 1, "backtrack/acc": 0.5}, {"step": 2, "backtrack/acc": 0.75})
    for place in (tmp_path, tmp_path / "metrics.jsonl"):
        assert read_run(place).steps == {1: {"backtrack/acc": 0.5}, 2: {"backtrack/acc": 0.75}}


def test_what_is_no_finite_number_is_left_out(tmp_path):
    """Texts, nulls, lists and what JSON of Python's calls NaN."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "data": {"a": "x", "b": null, "c": [1], "d": NaN, "e": Infinity, "f": 2}}\n')
    assert read_run(tmp_path).steps == {1: {"f": 2.0}}


def test_half_a_last_line_is_left_out(tmp_path):
    """A run that goes on, or was stopped, leaves one; a broken line elsewhere is named."""
    path = tmp_path / "metrics.jsonl"
    log(path, {"step": 1, "a": 1})
    path.write_text(path.read_text() + '{"step": 2, "a')
    assert list(read_run(tmp_path).steps) == [1]
    path.write_text("{\n" + path.read_text())
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 1 is not JSON"):
        read_run(tmp_path)


def test_speed_and_memory(tmp_path):
    """Tokens over seconds of the steps that have both, and the most memory of any; None where not logged."""
    step = {"perf/total_num_tokens": 300, "perf/time_per_step": 2, "actor/perf/max_memory_allocated_gb": 1}
    log(
        tmp_path / "metrics.jsonl",
        {"step": 1, **step},
        {"step": 2, **step, "perf/time_per_step": 4, "actor/perf/max_memory_allocated_gb": 3},
        {"step": 3, "perf/total_num_tokens": 1000},
    )
    run = read_run(tmp_path)
    assert run.tokens_per_second == 100.0
    assert run.peak_memory == {"device": 3.0}
    log(tmp_path / "metrics.jsonl", {"step": 1, "a": 1})
    assert read_run(tmp_path).tokens_per_second is None
    assert read_run(tmp_path).peak_memory is None


def test_the_report_beside_the_run_is_read(tmp_path):
    """Where there is one."""
    log(tmp_path / "metrics.jsonl", {"step": 1, "a": 1})
    assert read_run(tmp_path).report == {}
    (tmp_path / "report.json").write_text('{"phases": {"start": {"accuracy": 0.5}}}')
    assert read_run(tmp_path).report["phases"]["start"] == {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no metrics of a run"),
        ({"metrics.jsonl": ""}, "has metrics of no step yet"),
        ({"metrics.jsonl": "[3]\n"}, "a line without the metrics of a step"),
        ({"metrics.jsonl": '{"data": {}}\n'}, "a line without the metrics of a step"),
        ({"metrics.jsonl": '{"step": "x"}\n'}, "a line without the metrics of a step"),
        ({"metrics.jsonl": '{"step": 1, "data": 2}\n'}, "a line without the metrics of a step"),
        ({"metrics.jsonl": '{"step": 1}\n', "report.json": "{"}, "report.json is not JSON"),
        ({"metrics.jsonl": '{"step": 1}\n', "report.json": "[]"}, "report.json is no report"),
    ],
)
def test_bad_input_is_one_line(tmp_path, files, said):
    """A folder without metrics, a file of something else, a broken report."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said) as raised:
        read_run(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_place_that_is_not_there(tmp_path):
    """Is said to be missing, not to be empty."""
    with pytest.raises(DataError, match="does not exist"):
        read_run(tmp_path / "nothing")
