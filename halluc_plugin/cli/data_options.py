"""What the commands of ``halluc data`` share: options, and what they print."""

from pathlib import Path
from typing import Annotated, Any

import typer

NUMBER_LEVEL = "number-level"

Out = Annotated[Path, typer.Option(help="Folder; the files go to a folder below it, named after the task.")]
Train = Annotated[int, typer.Option(help="Training problems.")]
Test = Annotated[int, typer.Option(help="Problems of each held-out kind.")]
Seed = Annotated[int, typer.Option(help="Seed of everything.")]
Workers = Annotated[int, typer.Option(help="Processes that write traces; the files are the same.")]
Tokenizer = Annotated[
    str, typer.Option(help="Folder or hub name whose ids the traces are in, or number-level.")
]
Backtracking = Annotated[
    float, typer.Option(help="Backtracking traces for each clean one (D_back to D_op); 0 for none.")
]
Edits = Annotated[str, typer.Option(help="Errors are deleted by token or by step.")]
Endings = Annotated[
    str, typer.Option(help="Backtracking traces end with the correction or at the backtrack.")
]
RewardFunction = Annotated[
    str | None,
    typer.Option(
        help="Judges answers instead of the source's verifier, with the signature of verl's compute_score: "
        "FILE.py:FUNCTION or MODULE:FUNCTION, such as verl.utils.reward_score:default_compute_score.",
        metavar="PLACE",
    ),
]


def weights(text: str, count: int) -> list[float]:
    """``--mix`` as numbers.

    Raises:
        SettingsError: They are not ``count`` numbers.
    """
    from halluc_plugin.errors import SettingsError

    try:
        found = [float(weight) for weight in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count:
        example = ":".join("1" for _ in range(count))
        raise SettingsError(f"--mix is {text!r}.", f"Give {count} weights, e.g. {example}.")
    return found


def find_tokenizer(name: str, edit: str, backtracking: float) -> Any:
    """The tokenizer that traces are written with.

    Raises:
        TokenizerError: It cannot be loaded.
    """
    from halluc_plugin.scratch.tokenizer import number_tokenizer
    from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN

    if name == NUMBER_LEVEL:
        steps = (STEP_TOKEN,) if edit == "step" else ()
        return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, *steps) if backtracking else ())
    from halluc_plugin.tokens.loading import load_tokenizer

    return load_tokenizer(name)


def tell(card: Path, root: Path) -> None:
    """Print the data card, and where it all is."""
    typer.echo(card.read_text(encoding="utf-8"), nl=False)
    typer.echo(f"Written to {card.parent}; lm_eval finds it with HALLUC_DATA_DIR={root}")
