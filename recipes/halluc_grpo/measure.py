r"""Measure the models of runs on word problems, problem by problem, so that two can be paired.

    python -m halluc_plugin.recipes.halluc_grpo.measure start=MODEL after=MODEL --data FOLDER --seed 0 \
        --context hard --max-tokens 160 --out cells.json

Each model answers both held-out kinds at temperature 1, with its edits and with them banned. The measurements
are added to the file; a cell that is in it is not measured again. :mod:`.table` reads the file.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.cli.app import run as run_command
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.jobs.phases import Measured, PhaseJob, measure
from halluc_plugin.metrics import Proportion

SPLITS = {"seen": "test.parquet", "new": "test_new.parquet"}
"""Words that may occur in training, and words kept from it."""


def main(  # noqa: PLR0917 - the options of a command
    models: Annotated[list[str], typer.Argument(metavar="ARM=MODEL", help="Names and model folders.")],
    data: Annotated[Path, typer.Option(help="Folder of the problems, as halluc data word writes it.")],
    out: Annotated[Path, typer.Option(help="JSON file that cells are added to.")],
    seed: Annotated[int, typer.Option(help="Seed of the run, and of the answers.")] = 0,
    context: Annotated[Context, typer.Option(help="What the model sees after an edit.")] = Context.SOFT,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer, erased ones included.")] = 80,
    problems: Annotated[int, typer.Option(help="Problems of each kind, from the first.")] = 500,
) -> None:
    """Let models answer the held-out words, and keep what was right."""
    cells = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    known = {(cell["arm"], cell["context"], cell["seed"], cell["split"]) for cell in cells}
    screen = Console(stderr=True)
    for named in models:
        arm, separator, model = named.partition("=")
        if not (separator and (Path(model) / "config.json").is_file()):
            raise SettingsError(f"{named!r} names no folder of a model.", "Give ARM=FOLDER.")
        for split, file in SPLITS.items():
            if (arm, str(context), seed, split) in known:
                continue
            job = PhaseJob(
                data / file, problems, max_tokens, context=context, seed=seed,
                boundary=Boundary.MASK if context is Context.HARD else Boundary.NOOP,
            )  # fmt: skip
            told = {"arm": arm, "context": str(context), "seed": seed, "split": split}
            cells.append(told | {"max_tokens": max_tokens} | cell(measure(Path(model), job)))
            write_whole(out, json.dumps(cells, indent=1))
            screen.print(f"{arm}, seed {seed}, {split}: {cells[-1]['accuracy']:.3f}", highlight=False)


def cell(measured: Measured) -> dict[str, Any]:
    """Return what is kept of one measurement.

    Right answers are a text of 0 and 1, and edits are counted where they were possible.
    """
    told = measured.told
    return {
        "accuracy": measured.phase.accuracy,
        "edits": measured.phase.backtracks,
        "tokens": measured.phase.tokens,
        "right": _bits(measured.right),
        "right_banned": None if measured.right_banned is None else _bits(measured.right_banned),
        "dead": _counts(told.dead) if told else None,
        "live": _counts(told.live) if told else None,
    }


def _bits(right: list[bool]) -> str:
    return "".join("1" if one else "0" for one in right)


def _counts(share: Proportion) -> list[int]:
    """Edits, and ends of steps that they could follow."""
    return [round(share.value * share.n) if share.n else 0, share.n]


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
