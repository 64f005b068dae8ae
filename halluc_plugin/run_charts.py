"""The charts of a training run, the same in ``halluc plot`` and in ``halluc view``.

:func:`charts` makes them from the metrics that :func:`halluc_plugin.run_metrics.read_run` reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real

from halluc_plugin.run_metrics import RunMetrics


@dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        label: The name of the line in the legend.
        steps: The global steps at which the value is known, ascending.
        values: The value at each of these steps.
        low: The lower end of the 95 % interval at each step; empty if there are no intervals.
        high: The upper end of the 95 % interval at each step; empty if there are no intervals.
    """

    label: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Chart:
    """The lines that are drawn in one pair of axes, over global steps.

    Attributes:
        key: The name of the chart in file names and addresses.
        title: The heading of the chart.
        y: The label of the vertical axis.
        share: Whether the values are shares, within [0, 1].
        series: The lines, at least one.
    """

    key: str
    title: str
    y: str
    share: bool
    series: tuple[Series, ...]


def charts(run: RunMetrics) -> list[Chart]:
    """Return the charts of a run in order; those for which nothing was logged are left out."""
    drawn = (Chart(plan.key, plan.title, plan.y, plan.share, tuple(_series(plan, run))) for plan in _PLANS)
    return [chart for chart in drawn if chart.series]


@dataclass(frozen=True)
class _Plan:
    """How a chart is made: labels and the names of what is logged, and names that begin alike."""

    key: str
    title: str
    y: str
    lines: tuple[tuple[str, str], ...] = ()
    prefix: str = ""
    suffix: str = ""
    share: bool = False
    complement: bool = False  # 1 - value
    reported: tuple[tuple[str, str], ...] = ()  # of report.json: at both ends of the run


_PLANS = (
    _Plan(
        "accuracy",
        "Accuracy",
        "share of answers that are right",
        (
            ("training, edits applied", "backtrack/acc"),
            ("training, text as sampled", "backtrack/acc_raw"),
            ("training, without edits", "backtrack/acc_without_edits"),
        ),
        prefix="val-core/",
        suffix="/acc/mean@",
        share=True,
        reported=(("held out, the token banned", "accuracy_banned"),),
    ),
    _Plan(
        "discrimination",
        "Does it tell dead ends from live text?",
        "probability of an edit at the end of a step",
        (
            ("P(edit|dead)", "backtrack/p_edit_dead"),
            ("P(edit|live)", "backtrack/p_edit_live"),
            ("D", "backtrack/d"),
        ),
    ),
    _Plan(
        "edits",
        "Edits an answer",
        "number",
        (
            ("edits", "backtrack/per_answer"),
            ("runs of edits", "backtrack/num_events"),
            ("edits without effect", "backtrack/num_noops"),
            ("budget", "backtrack/budget"),
        ),
    ),
    _Plan(
        "backtracks",
        "Precision and recall of backtracks",
        "share",
        (
            ("precision", "backtrack/event_precision"),
            ("recall", "backtrack/event_recall"),
            ("right afterwards", "backtrack/success_after_backtrack"),
        ),
        share=True,
    ),
    _Plan(
        "false-alarms",
        "False alarms: good text that was erased",
        "share of what was good",
        (("tokens", "backtrack/good_tokens_erased"), ("steps", "backtrack/good_steps_erased")),
        share=True,
    ),
    _Plan(
        "tokens",
        "Tokens an answer",
        "number",
        (
            ("sampled", "backtrack/raw_length"),
            ("left", "backtrack/resolved_length"),
            ("erased", "backtrack/num_erased"),
        ),
    ),
    _Plan(
        "reward",
        "Parts of the reward, unweighted",
        "mean of answers",
        (("what was paid", "critic/rewards/mean"),),
        prefix="backtrack/reward/",
    ),
    _Plan(
        "influence",
        "Influence: groups whose advantages a part of the reward changes",
        "share of groups",
        prefix="backtrack/degenerate/",
        share=True,
        complement=True,
    ),
    _Plan(
        "loss",
        "Loss of fine-tuning",
        "nats a label",
        (("training", "train/loss"), ("held out", "val/loss")),
    ),
    _Plan(
        "signs",
        "Warning signs",
        "share of answers (stutter: of backtracks)",
        (
            ("takes something back (silent at 0)", "backtrack/rate"),
            ("groups that earn alike", "backtrack/degenerate/groups"),
            ("stutter", "backtrack/stutter_rate"),
            ("cut off", "backtrack/truncated"),
        ),
        share=True,
    ),
)
_ANY_PART = "backtrack/degenerate/groups"
_INTERVALS = {"backtrack/d": ("backtrack/d_low", "backtrack/d_high")}


def _series(plan: _Plan, run: RunMetrics) -> Iterator[Series]:
    for label, name in (*plan.lines, *_with_prefix(plan, run)):
        values = run.values(name)
        if not values:
            continue
        if plan.complement:
            values = {step: 1 - value for step, value in values.items()}
        ends = [run.values(end) for end in _INTERVALS.get(name, ())]
        known = all(step in end for end in ends for step in values)
        low, high = [tuple(end[step] for step in values) for end in ends] if ends and known else ((), ())
        yield Series(label, tuple(values), tuple(values.values()), low, high)
    for label, name in plan.reported:
        yield from _reported(label, name, run)


def _with_prefix(plan: _Plan, run: RunMetrics) -> Iterator[tuple[str, str]]:
    """Labels and names of what begins, and where asked goes on, alike."""
    if not plan.prefix:
        return
    names = {name for numbers in run.steps.values() for name in numbers if name.startswith(plan.prefix)}
    for name in sorted(names, key=lambda name: (name != _ANY_PART, name)):
        middle, found, _ = name.removeprefix(plan.prefix).partition(plan.suffix or "\0")
        if bool(found) == bool(plan.suffix):
            yield ("any part" if name == _ANY_PART else f"held out, {middle}" if found else middle), name


def _reported(label: str, name: str, run: RunMetrics) -> Iterator[Series]:
    """A figure that the closing report has of both ends of the run."""
    phases = run.report.get("phases", {})
    found = {
        step: phases.get(phase, {}).get(name)
        for step, phase in ((min(run.steps), "start"), (max(run.steps), "after_rl"))
    }
    values = {step: float(value) for step, value in found.items() if isinstance(value, Real)}
    if values:
        yield Series(label, tuple(values), tuple(values.values()))
