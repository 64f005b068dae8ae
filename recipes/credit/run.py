"""What reward, credit and curriculum change, one factor at a time (design: recipes/credit/results/setup.md).

    python -m halluc_plugin.recipes.credit.run --out outputs/credit

Data, models and cells are kept, so an interrupted run can be resumed.
"""

from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli.app import run as run_command
from halluc_plugin.errors import SettingsError
from halluc_plugin.recipes.credit import tables
from halluc_plugin.recipes.credit.arms import ARMS, BASELINE, CURRICULA, HARD_KEEP, PRESETS
from halluc_plugin.recipes.credit.experiment import Experiment
from halluc_plugin.recipes.credit.scale import FULL, QUICK
from halluc_plugin.recipes.credit.tasks import Task
from halluc_plugin.recipes.lab import forgetting
from halluc_plugin.recipes.lab.keeping import keep_scale
from halluc_plugin.recipes.lab.reporting import cells_of_seeds, report_plot, report_table
from halluc_plugin.training.low_rank import require_peft


def main(
    out: Annotated[Path, typer.Option(help="Folder for data, models, cells, tables and plots.")],
    *,
    seeds: Annotated[int, typer.Option(help="Seeds 0 to this, exclusive.")] = 3,
    arm: Annotated[
        list[str] | None,
        typer.Option(help="Only this arm (repeat it); all but presets and curricula by default."),
    ] = None,
    presets: Annotated[
        bool, typer.Option("--presets", help="The presets of credit, their reference and the baseline.")
    ] = False,
    curricula: Annotated[
        bool,
        typer.Option(
            "--curricula", help="The curricula and the cost of length, their reference, the baseline."
        ),
    ] = False,
    task: Annotated[Task, typer.Option(help="What is answered.")] = Task.COUNTDOWN,
    quick: Annotated[bool, typer.Option("--quick", help="Small and short: does everything run?")] = False,
) -> None:
    """Run what is missing, then write and print the tables."""
    groups = {"--presets": PRESETS if presets else (), "--curricula": CURRICULA if curricula else ()}
    given = [name for name, of in groups.items() if of]
    if arm and given:
        raise SettingsError(f"{given[0]} has arms of its own.", f"Give --arm, or {given[0]}.")
    others = [name for name in ARMS if name not in {*PRESETS, *CURRICULA}]
    names = arm or ([BASELINE, HARD_KEEP, *PRESETS * presets, *CURRICULA * curricula] if given else others)
    for name in names:
        if name not in ARMS:
            raise SettingsError(f"There is no arm {name!r}.", f"Give one of: {'; '.join(ARMS)}.")
    if any("low-rank" in ARMS[name].start for name in names):
        require_peft()
    scale = QUICK if quick else FULL
    keep_scale(out, scale, {name: made.described for name, made in ARMS.items()})
    cells = cells_of_seeds(seeds, lambda seed: Experiment(out, scale, seed, task).cells(names))
    prefix = "" if task is Task.COUNTDOWN else f"{task}-"
    for name, table in tables.TABLES.items():
        report_table(table(cells), f"{prefix}{name}", out)
    forgotten = [
        cell for seed in range(seeds) for cell in Experiment(out, scale, seed, task).forgotten(names)
    ]
    report_table(forgetting.table(forgotten, "arm"), f"{prefix}forgetting", out)
    report_plot(tables.curves(cells), f"{prefix}curves", out)


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
