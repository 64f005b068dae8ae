"""The closing report compares the first and the last validation of a run."""

import json

import pytest
from rich.console import Console

from halluc_plugin.errors import DataError
from halluc_plugin.jobs.phases import Phase, ShippedPhase
from halluc_plugin.report import Validation, read_validations, render, render_phases, tell


def write(path, *records):
    """Write records as verl's file logger does."""
    path.write_text("".join(json.dumps({"step": step, "data": data}) + "\n" for step, data in records))


def test_validations_are_read_by_step_across_restarts(tmp_path):
    """A resumed run adds a file; validations of both files come back in order of step, others are skipped."""
    write(
        tmp_path / "20260101-000000.jsonl",
        (
            0,
            {
                "val-core/halluc/countdown/acc/mean@1": 0.5,
                "val-aux/halluc/countdown/num_backtracks/mean@1": 1.5,
            },
        ),
        (1, {"actor/pg_loss": 0.1}),
    )
    write(tmp_path / "20260102-000000.jsonl", (2, {"val-core/halluc/countdown/acc/mean@1": 0.75}))
    assert read_validations(tmp_path) == [
        Validation(0, {"halluc/countdown": {"acc": 0.5, "num_backtracks": 1.5}}),
        Validation(2, {"halluc/countdown": {"acc": 0.75}}),
    ]


def test_data_sources_are_kept_apart(tmp_path):
    """What is logged for two data sources is reported for each."""
    write(
        tmp_path / "m.jsonl",
        (0, {"val-core/halluc/countdown/acc/mean@1": 0.2, "val-core/gsm8k/acc/mean@1": 0.4}),
    )
    assert read_validations(tmp_path)[0].means == {"halluc/countdown": {"acc": 0.2}, "gsm8k": {"acc": 0.4}}


def test_half_a_last_line_is_ignored_and_any_other_is_an_error(tmp_path):
    """A stopped run may leave half a line at the end; damage elsewhere is named by file and line."""
    path = tmp_path / "m.jsonl"
    write(path, (0, {"val-core/x/acc/mean@1": 1.0}))
    path.write_text(path.read_text() + '{"step": 1, "da')
    assert len(read_validations(tmp_path)) == 1
    path.write_text("not json\n" + path.read_text())
    with pytest.raises(DataError, match="line 1 is not JSON"):
        read_validations(tmp_path)


def test_table_shows_accuracy_with_its_interval(tmp_path):
    """50 % of 100 answers is printed with Wilson's interval, 40.4 to 59.6."""
    console = Console(width=120, record=True, force_terminal=False)
    means = {"gsm8k": {"acc": 0.5, "num_backtracks": 0.0}}
    render([Validation(0, means)], {"gsm8k": 100}, {"run": "runs/a"}, console)
    text = console.export_text()
    assert "50.0 % [40.4, 59.6]" in text
    assert "gsm8k, 100 answers" in text
    assert "backtracks per answer" in text
    assert "run  runs/a" in text


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [(-0.2, 0.6, ("-0.20", "0.60")), (0.2, 7.5, ("0.20", "7.50")), (-1.0, float("nan"), ("-1.00", "nan"))],
)
def test_a_score_is_no_accuracy(tmp_path, first, last, shown):
    """Means outside [0, 1], as of another reward manager's -1 and 1, are scores: no per cent, no interval."""
    log = tmp_path / "m.jsonl"
    write(log, *((step, {"val-core/x/acc/mean@1": mean}) for step, mean in ((0, first), (4, last))))
    console = Console(width=120, record=True, force_terminal=False)
    render(read_validations(tmp_path), {"x": 100}, {}, console)
    text = console.export_text()
    assert "mean score (no accuracy), backtracks applied" in text
    assert all(number in text for number in shown)
    assert "%" not in text


def test_a_run_without_validation_says_how_to_get_one():
    """Without any validation the report names the settings that log one."""
    console = Console(width=120, record=True, force_terminal=False)
    render([], {}, {}, console)
    assert "trainer.val_before_train=true" in console.export_text()


def test_models_stand_side_by_side():
    """A column for each with its accuracies, D and lengths; what came with the recipe is marked."""
    console = Console(width=100, record=True, force_terminal=False)
    start = Phase(0.5, 0.25, 0.9, 0.15, 1.5, 40.0, 100, 1.0)
    twin = ShippedPhase(Phase(0.3, None, None, None, 0.0, 20.5, 100, 1.0), "three seeds")
    render_phases({"start": start, "clean twin": twin}, console)
    rows = {cells[0].strip(): [c.strip() for c in cells[1:]] for cells in _cells(console.export_text())}
    assert rows["accuracy"] == ["50.0 %", "30.0 %"]
    assert rows["95 % interval"] == ["40.4 to 59.6", "21.9 to 39.6"]
    assert rows["accuracy, token banned"] == ["25.0 %", ""]
    assert rows["D, their difference"] == ["0.75", ""]
    assert rows["tokens an answer"] == ["40.0", "20.5"]
    assert "(shipped)" in rows[""]


def test_a_row_that_no_model_has_is_left_out():
    """Models without edits have no shares of them, and their table no rows for those."""
    console = Console(width=100, record=True, force_terminal=False)
    render_phases({"start": Phase(0.5, None, None, None, 0.0, 40.0, 100, 1.0)}, console)
    assert "P(edit" not in console.export_text()
    assert "banned" not in console.export_text()


def _cells(table):
    """The cells of a printed table, row by row."""
    rows = (line.replace("┃", "│") for line in table.splitlines() if line[:1] in "│┃")
    return [row[1:-1].split("│") for row in rows]


def test_labelled_lines_are_printed_as_they_are():
    """Under a heading; brackets and colons of a path are no markup."""
    console = Console(width=100, record=True, force_terminal=False)
    tell({"run": "runs/[bold]a :car:"}, console, heading="What to type next")
    assert console.export_text().splitlines() == ["", "What to type next", "run  runs/[bold]a :car:"]
