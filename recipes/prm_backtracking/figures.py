"""The plots of figures 4 to 8 and of equal FLOPs, and figure 9 as text."""

from collections.abc import Iterator, Sequence

from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import Cell, grouped
from halluc_plugin.recipes.prm_backtracking.models import Diet
from halluc_plugin.recipes.prm_backtracking.searching import LEARNED, MIN, ORACLE, REVISED
from halluc_plugin.recipes.prm_backtracking.tables import (
    MILLION,
    OF_LEARNED,
    OF_ORACLE,
    arms_of,
    curve,
    named,
)

SINGLE = str(Diet.OWN_BALANCED)


def plots(cells: Sequence[Cell]) -> Iterator[tuple[str, Plot]]:
    """Yield each plot that there is something to draw of, with its name."""
    for (task,), group in grouped(cells, "task").items():
        if quality := named(group, "quality"):
            yield f"{task}-figure4", _outcomes(quality, task)
            yield from _curves(quality, task)
            yield f"{task}-figure7", _errors(quality, task)
        if any(cell["name"] in REVISED for cell in group):
            yield from _revised(group, task)
            yield from _equal(group, task)
        if drawn := _drawn(group):
            yield f"{task}-figure8", _over_revisions(drawn, task)


def _outcomes(cells: Sequence[Cell], task: str) -> Plot:
    lines = [
        Line(
            f"{kind} first answers",
            {name: [_share(c["scorers"][name][kind]["correct"]) for c in cells] for name in map(str, Diet)},
        )
        for kind in ("right", "wrong")
    ]
    return Plot(f"Figure 4, {task}: outcome accuracy of scorers", "trained on", "%", lines)


def _share(values: Sequence[int]) -> float:
    return 100 * sum(values) / max(1, len(values))


def _curves(cells: Sequence[Cell], task: str) -> Iterator[tuple[str, Plot]]:
    for kind, x in (("right", "steps written"), ("wrong", "steps from the first error")):
        lines = []
        for label, column in (("scorer", 0), ("share of right continuations", 1)):
            values: dict[str, list[float]] = {}
            found = [cell["scorers"][SINGLE]["curves"][kind] for cell in cells]
            for place in sorted({place for of in found for place in of}, key=int):
                values[place] = [of[place][column] for of in found if place in of]
            lines.append(Line(label, values))
        if lines[0].values:
            yield f"{task}-figure5-{kind}", Plot(f"Figure 5, {task}: {kind} answers", x, "value", lines)


def _errors(cells: Sequence[Cell], task: str) -> Plot:
    names = (SINGLE, str(Diet.TURNS), "in-context, behind another answer")
    line = Line("MSE of steps", {name: [c["scorers"][name]["mse"] for c in cells] for name in names})
    return Plot(f"Figure 7, {task}: error of step values", "scorer", "MSE to the oracle", [line])


def _line(
    cells: Sequence[Cell], label: str, part: str | None, which: str, column: int, *, rollouts: bool = False
) -> Line:
    """Accuracies of the seeds over the mean of what each checkpoint took."""
    curves = [curve(cell, part, which, rollouts=rollouts) for cell in cells]
    values: dict[str, list[float]] = {}
    for at in zip(*curves, strict=True):
        taken = sum(point[column] for point in at) / len(at)
        place = f"{taken / MILLION:.2f}" if column == 0 else f"{taken:.0f}"
        values[place] = [100 * point[2] for point in at]
    return Line(label, values)


def _revised(group: Sequence[Cell], task: str) -> Iterator[tuple[str, Plot]]:
    y = "right, % of wrong first answers"
    for name, arms, rollouts in (
        ("oracle", (*OF_ORACLE, "reachability, min-advantage"), False),
        ("oracle-rollouts", OF_ORACLE, True),
        ("learned", OF_LEARNED, False),
    ):
        lines = [
            _line(cells, arm, None, "wrong", 1, rollouts=rollouts)
            for arm in arms
            if (cells := named(group, arm))
        ]
        x = f"tokens of the policy{', rollouts counted' if rollouts else ''}"
        if lines:
            yield f"{task}-figure6-{name}", Plot(f"Figure 6, {task}", x, y, lines, to_scale=True)


def _equal(group: Sequence[Cell], task: str) -> Iterator[tuple[str, Plot]]:
    for source in (ORACLE, LEARNED):
        lines = [
            _line(cells, label, part, "all", 0)
            for label, (name, part) in arms_of(source).items()
            if (cells := named(group, name))
        ]
        title = f"Equal FLOPs, {task}, values by {source} scorer"
        if lines:
            yield (
                f"{task}-flops-{source}",
                Plot(title, "MFLOPs of a problem", "right, %", lines, to_scale=True),
            )


def _drawn(group: Sequence[Cell]) -> Cell | None:
    """The first seed's revision that can be drawn."""
    return next((cell["drawn"] for cell in named(group, f"{LEARNED}, {MIN}") if cell["drawn"]), None)


def _over_revisions(drawn: Cell, task: str) -> Plot:
    lines = []
    for number, values in enumerate(drawn["values"]):
        answer = "first answer" if number == 0 else f"after revision {number}"
        lines.append(Line(f"Q, {answer}", {str(step): [value] for step, value in enumerate(values)}))
        advantages = {str(i): [values[i] - values[i - 1]] for i in range(1, len(values))}
        lines.append(Line(f"A, {answer}", advantages))
    return Plot(f"Figure 8, {task}: one problem", "steps written", "value, advantage", lines)


def revision_text(cells: Sequence[Cell]) -> str:
    """Write figure 9 as Markdown: one revision of each task, with marks at the steps that were rewritten."""
    parts = ["# One revision of each task"]
    for (task,), group in grouped(cells, "task").items():
        drawn = _drawn(group)
        if drawn is None:
            continue
        parts.append(f"## {task}\n\n    {drawn['prompt'].rstrip()}")
        for number, (steps, values) in enumerate(zip(drawn["steps"], drawn["values"], strict=True)):
            title = "The first answer" if number == 0 else f"After revision {number}"
            kept = drawn["revised"][number - 1] if number else 0
            lines = [f"    Q = {values[0]:.2f}  the bare prompt"]
            for step, (text, value) in enumerate(zip(steps, values[1:], strict=True), start=1):
                mark = ">" if number and step >= kept else " "
                lines.append(f"    Q = {value:.2f} {mark} {text.rstrip()}")
            revised = f", from step {kept} on (>)" if number else ""
            parts.append(f"{title}{revised}:\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"
