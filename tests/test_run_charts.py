"""What is drawn of a run: which charts, which lines, which numbers."""

import pytest

from halluc_plugin.run_charts import Series, charts
from halluc_plugin.run_metrics import RunMetrics


def chart(key, steps, **report):
    """The lines of one chart of a run with these metrics by label."""
    found = {each.key: each for each in charts(RunMetrics("run", steps, report))}
    return {series.label: series for series in found[key].series} if key in found else {}


def test_accuracies_of_training_and_of_each_held_out_kind():
    """Names of data sources are in the labels; other figures of a validation are no accuracies."""
    steps = {
        0: {"val-core/halluc/word/acc/mean@1": 0.25, "val-aux/halluc/word/acc_raw/mean@1": 0.1},
        1: {"backtrack/acc": 0.5, "val-core/gsm8k/acc/mean@4": 0.75, "val-core/gsm8k/reward/mean@4": 9.0},
    }
    lines = chart("accuracy", steps)
    assert lines["training, edits applied"] == Series("training, edits applied", (1,), (0.5,))
    assert lines["held out, halluc/word"].values == (0.25,)
    assert lines["held out, gsm8k"].steps == (1,)
    assert len(lines) == 3


def test_the_banned_accuracy_is_that_of_the_report():
    """Known at both ends of a run; a model without edits has none."""
    steps = {0: {"backtrack/acc": 0.5}, 8: {"backtrack/acc": 0.5}}
    ends = {"start": {"accuracy_banned": 0.25}, "after_rl": {"accuracy_banned": 0.3}}
    banned = chart("accuracy", steps, phases=ends)["held out, the token banned"]
    assert (banned.steps, banned.values) == ((0, 8), (0.25, 0.3))
    assert len(chart("accuracy", steps, phases={"start": {"accuracy_banned": None}})) == 1


def test_d_has_its_interval():
    """Where every step has one; without it the line is plain."""
    step = {"backtrack/d": 0.5, "backtrack/d_low": 0.25, "backtrack/d_high": 0.75}
    d = chart("discrimination", {1: step, 2: step})["D"]
    assert (d.values, d.low, d.high) == ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75))
    assert chart("discrimination", {1: step, 2: {"backtrack/d": 0.5}})["D"].low == ()


def test_influence_is_what_degenerate_groups_leave():
    """A part of the reward that moves no group in a quarter of the prompts has an influence of 75 %."""
    lines = chart(
        "influence", {1: {"backtrack/degenerate/groups": 1.0, "backtrack/degenerate/outcome": 0.25}}
    )
    assert {label: series.values for label, series in lines.items()} == {
        "any part": (0.0,),
        "outcome": (0.75,),
    }


def test_every_part_of_the_reward_has_a_line():
    """By its registered name, beside what was paid."""
    lines = chart("reward", {3: {"backtrack/reward/outcome": 1.0, "critic/rewards/mean": 0.5}})
    assert {label: series.values for label, series in lines.items()} == {
        "what was paid": (0.5,), "outcome": (1.0,),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("edits", "per_answer"), ("backtracks", "event_precision"), ("backtracks", "event_recall"),
        ("false-alarms", "good_steps_erased"), ("tokens", "raw_length"), ("signs", "stutter_rate"),
    ],
)  # fmt: skip
def test_a_chart_of_nothing_is_left_out(key, name):
    """Each is drawn where something of it was logged, and only there."""
    assert chart(key, {1: {f"backtrack/{name}": 0.5}})
    assert not chart(key, {1: {"actor/loss": 0.5}})


def test_fine_tuning_has_its_loss():
    """Of training, and of held-out traces where there are some."""
    lines = chart("loss", {1: {"train/loss": 2.0}, 5: {"train/loss": 1.0, "val/loss": 1.5}})
    assert (lines["training"].values, lines["held out"].steps) == ((2.0, 1.0), (5,))
