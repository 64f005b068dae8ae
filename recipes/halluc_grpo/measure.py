r"""Measure the models of runs on word problems, problem by problem, so that two can be paired.

    python -m halluc_plugin.recipes.halluc_grpo.measure start=MODEL after=MODEL --data FOLDER --seed 0 \
        --context hard --max-tokens 160 --out cells.json

Each model answers both held-out kinds at temperature 1, with its edits and with them banned. The measurements
are added to the file; a cell that is in it is not measured again. :mod:`.table` reads the file.
"""

import json
from hashlib import sha256
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

WEIGHTS = "model.safetensors"
NAMED = ("arm", "context", "seed", "split")
"""What a cell is found by; all else must be the same where it is found again."""
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
    known = {tuple(cell[key] for key in NAMED): cell for cell in cells}
    screen = Console(stderr=True)
    for arm, model in [_named(text) for text in models]:
        for split, file in SPLITS.items():
            told = {
                "arm": arm, "context": str(context), "seed": seed, "split": split, "max_tokens": max_tokens,
                "problems": problems, "weights": _digest(model / WEIGHTS), "data": _digest(data / file),
            }  # fmt: skip
            if (there := known.get(tuple(told[key] for key in NAMED))) is not None:
                _require_same(there, told, out)
                continue
            job = PhaseJob(
                data / file, problems, max_tokens, context=context, seed=seed,
                boundary=Boundary.MASK if context is Context.HARD else Boundary.NOOP,
            )  # fmt: skip
            cells.append(told | cell(measure(model, job)))
            write_whole(out, json.dumps(cells, indent=1))
            screen.print(f"{arm}, seed {seed}, {split}: {cells[-1]['accuracy']:.3f}", highlight=False)


def _named(text: str) -> tuple[str, Path]:
    """The arm and the model folder of an argument."""
    arm, separator, model = text.partition("=")
    if not (separator and (Path(model) / WEIGHTS).is_file()):
        raise SettingsError(f"{text!r} names no folder with {WEIGHTS}.", "Give ARM=FOLDER.")
    return arm, Path(model)


def _digest(path: Path) -> str:
    """What tells one file from another, whatever it is called."""
    return sha256(path.read_bytes()).hexdigest()[:12]


def _require_same(there: dict[str, Any], told: dict[str, Any], out: Path) -> None:
    """Refuse to take a cell for one that was measured otherwise."""
    changed = [key for key, value in told.items() if there[key] != value]
    if changed:
        raise SettingsError(
            f"{out} holds {told['arm']}, seed {told['seed']}, {told['split']} of another {changed[0]}.",
            "Give another --out, or another name to the arm.",
        )


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
