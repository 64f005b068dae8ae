"""``python -m halluc_plugin.acceptance``, which scripts/accept_gpu.sh calls."""

import math
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.errors import HallucError, SettingsError

LIMIT_S = 600
"""Seconds after which no check is begun on an accelerator. A CPU only tries the script, and has no limit."""


class Part(StrEnum):
    """The parts of the acceptance."""

    HF = "hf"
    VERL = "verl"


def accept(
    part: Annotated[
        Part,
        typer.Option(help="hf: torch and transformers alone; verl: verl and vLLM, on a trained toy."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="JSON file to write.", show_default="accept-PART.json"),
    ] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="Run small checks on the CPU, even if there is an accelerator.")
    ] = False,
) -> None:
    """Try on this machine's accelerator what was tested on CPUs; exit 1 if a check fails."""
    import torch

    from halluc_plugin.acceptance import hf, verl
    from halluc_plugin.acceptance.record import run_checks

    device = torch.device("cpu") if cpu else torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        raise SettingsError(
            "torch finds no accelerator on this machine.",
            "Run it where there is one, or try it with --cpu.",
        )
    if device.index is None and device.type != "cpu":
        device = torch.device(device.type, 0)
    place = out or Path(f"accept-{part}.json")
    chosen = {Part.HF: hf.checks, Part.VERL: verl.checks}[part](device)
    good = run_checks(
        chosen, place, part=part, device=device, seconds=math.inf if cpu else LIMIT_S, tell=typer.echo
    )
    typer.echo(f"{'Passed' if good else 'FAILED'}; {place}")
    if not good:
        raise typer.Exit(1)


def main() -> None:
    """Run the command; an error of halluc is one line."""
    try:
        typer.run(accept)
    except HallucError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
