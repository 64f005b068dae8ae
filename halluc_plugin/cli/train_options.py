"""Options that the commands which train share."""

from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.help import NEW_LINE

Steps = Annotated[int, typer.Option(help="Number of optimizer steps.")]
BatchSize = Annotated[int, typer.Option(help="Traces in an optimizer step.")]
MicroBatchSize = Annotated[
    int | None, typer.Option(help="Traces in a forward pass.", show_default="the whole batch")
]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
ErasedTokens = Annotated[
    choices.ErasedTokens,
    typer.Option(
        help="Erased tokens: mask (out of the loss), keep (imitated like the others) or weight (at a share "
        "of the loss).",
        metavar="HOW",
    ),
]
DecisionShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the loss of decisions: edits, ends, and where a step begins behind another one.",
        show_default="all tokens count alike",
    ),
]
ErasedShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the loss of erased tokens, with --erased-tokens weight.", show_default="none"
    ),
]
ContextOption = Annotated[
    choices.Contexts,
    typer.Option("--context", help="What an action sees in training: soft (all), or hard (the live text)."),
]
Seed = Annotated[int, typer.Option(help="Seed of data order and dropout.")]
SaveSteps = Annotated[int, typer.Option(help="Steps between checkpoints; the last one is kept.")]
BF16 = Annotated[
    bool | None,
    typer.Option(
        "--bf16/--no-bf16",
        help="Compute in bfloat16; weights keep their precision.",
        show_default="on accelerators, and for 50M parameters or more on CPUs that multiply in it",
    ),
]
Delimiter = Annotated[
    str,
    typer.Option(
        help="Text that ends a step, for a tokenizer with a step backtrack token.", show_default=NEW_LINE
    ),
]
Out = Annotated[
    Path, typer.Option(help="Folder for the model; an interrupted run with the same folder goes on.")
]
Start = Annotated[str, typer.Option(help="Model folder or hub name to start from.", metavar="PATH")]
