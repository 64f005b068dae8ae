"""Checks are run one after the other, and what they found is in one file at every moment."""

import json

import pytest
import torch

from halluc_plugin.acceptance.record import Finding, Outcome, judged, run_checks, skipped

CPU = torch.device("cpu")


@pytest.fixture
def ran(tmp_path):
    """Run checks; returns whether they passed, and the record."""

    def run(seconds=100, **checks):
        out, said = tmp_path / "found.json", []
        good = run_checks(checks, out, part="hf", device=CPU, seconds=seconds, tell=said.append)
        assert len(said) == len(checks)
        return good, json.loads(out.read_text())

    return run


@pytest.mark.parametrize(("value", "outcome"), [(1.0, "passed"), (1.1, "failed"), (float("nan"), "failed")])
def test_a_figure_above_its_bar_fails(value, outcome):
    """One at the bar passes, one that is no number does not; the figure and the bar are told."""
    found = judged({"nats": value, "actions": 3}, {"nats": 1.0})
    assert found.outcome == outcome
    assert ("nats is" in found.why) == (outcome == "failed")
    assert found.figures["bars"] == {"nats": 1.0}


def test_outcomes_figures_and_seconds_are_written(ran):
    """What passed and what was skipped, and why; nothing has failed."""
    good, record = ran(a=lambda: judged({"nats": 0.5}, {"nats": 1}), b=lambda: skipped("no such device"))
    assert good is record["passed"] is True
    assert [(line["name"], line["outcome"], line["why"]) for line in record["checks"]] == [
        ("a", "passed", ""), ("b", "skipped", "no such device"),
    ]  # fmt: skip
    assert record["checks"][0]["figures"] == {"nats": 0.5, "bars": {"nats": 1}}
    assert all(line["seconds"] >= 0 for line in record["checks"])
    assert record["hardware"]["device"] == "cpu"
    assert record["hardware"]["cpu"]
    assert record["versions"]["torch"] == torch.__version__


def test_a_check_that_raises_has_failed_and_the_next_is_run(ran):
    """Its error is told in one line."""
    good, record = ran(a=lambda: 1 / 0, b=lambda: Finding(Outcome.PASSED))
    assert not good
    assert [line["outcome"] for line in record["checks"]] == ["failed", "passed"]
    assert record["checks"][0]["why"] == "ZeroDivisionError: division by zero"


def test_a_figure_that_is_no_number_is_null(ran):
    """JSON has no word for it; that the check failed by it is told."""
    _, record = ran(a=lambda: judged({"nats": float("nan")}, {"nats": 1}))
    (line,) = record["checks"]
    assert (line["outcome"], line["figures"]["nats"], line["why"]) == ("failed", None, "nats is nan, above 1")


def test_what_is_not_begun_in_time_has_failed(ran):
    """A part ends within its time, and says what is missing."""
    good, record = ran(seconds=-1, a=lambda: Finding(Outcome.PASSED))
    assert not good
    assert record["checks"][0]["why"] == "not begun within -1 s"


def test_the_file_tells_what_was_found_until_now(tmp_path):
    """A run that is killed leaves the checks before, and is not said to have passed."""
    out = tmp_path / "found.json"

    def killed():
        before = json.loads(out.read_text())
        assert (before["passed"], [line["name"] for line in before["checks"]]) == (None, ["a"])
        raise KeyboardInterrupt

    checks = {"a": lambda: Finding(Outcome.PASSED), "b": killed}
    with pytest.raises(KeyboardInterrupt):
        run_checks(checks, out, part="hf", device=CPU, seconds=100, tell=lambda _: None)
    assert json.loads(out.read_text())["checks"][0]["name"] == "a"
