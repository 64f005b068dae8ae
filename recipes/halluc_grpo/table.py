"""Print tables of the measurements of :mod:`.measure`, as Markdown.

python -m halluc_plugin.recipes.halluc_grpo.table cells.json
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli.app import run as run_command
from halluc_plugin.errors import DataError
from halluc_plugin.metrics import Difference, Proportion, paired_difference
from halluc_plugin.recipes.lab.tabulating import points

Cells = Sequence[Mapping[str, Any]]


def main(
    cells: Annotated[Path, typer.Argument(help="JSON file that measure has written.")],
) -> None:
    """Print a table of arms and a table of paired differences."""
    found = json.loads(cells.read_text(encoding="utf-8"))
    typer.echo(f"{arms(found)}\n\n{differences(found)}")


def arms(cells: Cells) -> str:
    """Return the table of each arm and seed, with both held-out kinds together."""
    head = "seed arm right,_% banned,_% P(edit|dead) P(edit|live) D edits tokens".replace("|", r"\|").split()
    return _markdown(
        [name.replace("_", " ") for name in head],
        [
            [
                str(seed), f"{arm}, {context}", _accuracy(own, "right"),
                _accuracy(own, "right_banned") if own[0]["right_banned"] else "",
                *_told(own), _mean(own, "edits"), _mean(own, "tokens"),
            ]
            for (context, seed, arm), own in _grouped(cells).items()
        ],
    )  # fmt: skip


def differences(cells: Cells) -> str:
    """Return the Markdown table of paired differences, in points.

    Args:
        cells: The measured cells. Each arm is compared with those of its seed that stand before it, and with
            itself with its edits banned.
    """
    groups, rows, before = _grouped(cells), [], list[tuple[str, int, str]]()
    for key, own in groups.items():
        context, seed, arm = key
        told = [str(seed), f"{arm}, {context}"]
        if own[0]["right_banned"]:
            rows.append([*told, "its edits banned", _points(_paired(own, "right", own, "right_banned"))])
        for other in before:
            if other[:2] == key[:2]:
                found = _paired(own, "right", groups[other], "right")
                rows.append([*told, other[2], _points(found)])
        before.append(key)
    return _markdown(["seed", "arm", "compared with", "points"], rows)


def _grouped(cells: Cells) -> dict[tuple[str, int, str], list[Mapping[str, Any]]]:
    """The kinds of problem of each arm, in one order."""
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for cell in sorted(cells, key=lambda cell: cell["seed"]):
        groups.setdefault((cell["context"], cell["seed"], cell["arm"]), []).append(cell)
    return {key: sorted(own, key=lambda cell: cell["split"]) for key, own in groups.items()}


def _bits(own: Cells, key: str) -> list[int]:
    return [int(bit) for cell in own for bit in cell[key]]


def _accuracy(own: Cells, key: str) -> str:
    bits = _bits(own, key)
    share = Proportion.of(sum(bits), len(bits))
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _told(own: Cells) -> list[str]:
    """P(edit | dead), P(edit | live) and D; blank where there is no edit."""
    if not own[0]["dead"]:
        return ["", "", ""]
    shares = []
    for kind in ("dead", "live"):
        edits, places = (sum(parts) for parts in zip(*(cell[kind] for cell in own), strict=True))
        shares.append(edits / places if places else float("nan"))
    return [f"{value:.3f}" for value in (*shares, shares[0] - shares[1])]


def _mean(own: Cells, key: str) -> str:
    answers = [len(cell["right"]) for cell in own]
    return f"{sum(cell[key] * n for cell, n in zip(own, answers, strict=True)) / sum(answers):.2f}"


def _paired(own: Cells, key: str, other: Cells, other_key: str) -> Difference:
    asked = ("split", "problems", "data", "max_tokens")
    if [[cell[key] for key in asked] for cell in own] != [[cell[key] for key in asked] for cell in other]:
        raise DataError(
            f"{own[0]['arm']} and {other[0]['arm']} of seed {own[0]['seed']} answered other problems.",
            "Measure both on the same kinds of problem.",
        )
    return paired_difference(_bits(own, key), _bits(other, other_key))


def _points(found: Difference) -> str:
    return points(found.value, found.low, found.high)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
