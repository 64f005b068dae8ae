"""The plot of each stage: means over seeds, with a mark for each seed."""

from collections.abc import Callable, Sequence

from halluc_plugin.recipes.lab.plotting import Line, Plot
from halluc_plugin.recipes.lab.tabulating import Cell, correct_of, grouped

RULE = "mean-logprob"


def _right(group: Sequence[Cell], *path: str) -> list[float]:
    """Accuracy of each seed in %."""
    values = (correct_of(cell, *path) for cell in group)
    return [100 * sum(correct) / len(correct) for correct in values]


def search(cells: Sequence[Cell]) -> Plot:
    """Return the plot of accuracy over N on seen targets."""
    groups = grouped((cell for cell in cells if cell["split"] == "test_seen"), "arm")
    lines: dict[str, dict[str, list[float]]] = {}
    for (arm,), group in groups.items():
        name, sign, n = arm.rpartition(" N=")
        if sign:
            for rule in (key for key, value in group[0].items() if isinstance(value, dict)):
                if rule in {RULE, "verifier"} or (rule == "majority" and name.startswith("sft")):
                    lines.setdefault(f"{name}, {rule}", {})[n] = _right(group, rule)
    shown = [
        Line(label, dict(sorted(at.items(), key=lambda item: int(item[0])))) for label, at in lines.items()
    ]
    return Plot("Search against sampling, seen targets", "N", "right, %", shown)


def mixes(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the accuracy of each search over mixtures."""
    groups = grouped(cells, "arm")
    lines = [
        Line(name, {arm: _right(group, "searches", name, RULE) for (arm,), group in groups.items()})
        for name in cells[0]["searches"]
    ]
    return Plot("Clean to backtracking traces, and kinds of error", "mixture", "right, %", lines)


def masking(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the cosines of the gradients during training."""
    lines = []
    for (arm,), group in grouped((cell for cell in cells if "cosines" in cell), "arm").items():
        for key in ("error_edit", "error_correction"):
            steps = [point["step"] for point in group[0]["cosines"]]
            values = {
                str(step): [p[key] for cell in group for p in cell["cosines"] if p["step"] == step]
                for step in steps
            }
            lines.append(Line(f"{arm}: {key.replace('_', ', ')}", values))
    return Plot("Cosines of gradients", "optimizer step", "cosine", lines)


def likelihood(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the share of right answers over deciles of likelihood."""
    lines = []
    for (name,), group in grouped(cells, "name").items():
        tenths = range(min(len(cell["deciles"]) for cell in group))
        values = {str(at + 1): [100 * cell["deciles"][at]["right"] for cell in group] for at in tenths}
        lines.append(Line(name, values))
    return Plot("Does likelihood tell right answers?", "tenth by mean log-probability", "right, %", lines)


def expert(cells: Sequence[Cell]) -> Plot:
    """Return the plot of accuracy over rounds."""
    groups, lines = grouped(cells, "arm", "round"), []
    for arm in [arm for arm in dict.fromkeys(cell["arm"] for cell in cells) if arm not in {"start", "base"}]:
        searches = list(cells[0]["searches"])
        for how in (searches[0], next(name for name in searches if name.startswith("b="))):
            values = {
                str(number): _right(group, "searches", how, RULE)
                for (name, number), group in groups.items()
                if name in {"start", arm}
            }
            lines.append(Line(f"{arm}, {how}", values))
    return Plot("Expert iteration", "round", "right, %", lines)


def emission(cells: Sequence[Cell]) -> Plot:
    """Return the plot of how often an edit is the likeliest token."""
    lines = []
    for (arm,), group in grouped(cells, "arm").items():
        values = {
            f"{where}: {kind}": [_rate(cell[where][kind]) for cell in group]
            for where in ("held out", "own")
            for kind in group[0][where]
        }
        lines.append(Line(arm, values))
    return Plot("Is the token emitted?", "behind", "edit is the likeliest, %", lines)


def _rate(places: Cell) -> float:
    """Return a rate in %, nan if there is no such place."""
    return 100 * places["emitted"] / places["places"] if places["places"] else float("nan")


def corrections(cells: Sequence[Cell]) -> Plot:
    """Return the plot of pass@k and maj@k over k; the banned twins are in the table."""
    lines = []
    for (arm,), group in grouped((cell for cell in cells if "banned" not in cell["arm"]), "arm").items():
        for kind in ("pass", "maj"):
            values = {k: [100 * cell[kind][k]["value"] for cell in group] for k in group[0][kind]}
            lines.append(Line(f"{arm}: {kind}@k", values))
    return Plot("Verified wrong to right", "k", "%", lines)


def transfer(cells: Sequence[Cell]) -> Plot:
    """Return the plot of the shares of bad and of good steps erased, by task."""
    lines = []
    for (arm,), group in grouped(cells, "arm").items():
        values = {
            f"{task}: {key.split('_')[0]} steps": [100 * cell[task]["T=1"][key] for cell in group]
            for task in ("countdown", "chain")
            for key in ("bad_steps_erased", "good_steps_erased")
        }
        lines.append(Line(f"backtracks in {arm}", values))
    return Plot("Transfer, temperature 1", "", "erased, %", lines)


PANELS: dict[str, Callable[[Sequence[Cell]], Plot]] = {
    "search": search,
    "mixes": mixes,
    "masking": masking,
    "likelihood": likelihood,
    "expert": expert,
    "emission": emission,
    "corrections": corrections,
    "transfer": transfer,
}
