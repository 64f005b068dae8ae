"""The command ``halluc add-token``, which makes a model that can take back from one that cannot."""

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.data_options import Quiet, TrustRemoteCode
from halluc_plugin.cli.help import SETUP, examples
from halluc_plugin.cli.train_options import Start
from halluc_plugin.tokens.vocabulary import BACKTRACK_TOKEN, TOKENS

FURTHER = TOKENS[1:]
"""What may be added next to the backtrack token."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "add-token",
        rich_help_panel=SETUP,
        epilog=examples(
            "halluc add-token --model Qwen/Qwen2.5-0.5B --out my-model",
            "halluc add-token --model Qwen/Qwen2.5-0.5B --init semantic --step --out my-model",
        ),
    )(_with_options(add_token))


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each edit token that it may add, before ``--description``."""
    asked = list(inspect.signature(command).parameters.values())[:-1]
    at = [parameter.name for parameter in asked].index("description")
    asked[at:at] = [
        inspect.Parameter(
            token.role,
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[
                bool,
                typer.Option(
                    f"--{token.role}", help=f"Also add {token.text}, which deletes {token.deletes}."
                ),
            ],
        )
        for token in FURTHER
    ]

    @wraps(command)
    def run(**given: Any) -> None:
        command(**given)

    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in asked]
    run.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keywords}
    return run


def add_token(
    model: Start,
    out: Annotated[Path, typer.Option(help="Folder to write; must be empty or new.")],
    init: Annotated[
        choices.Starts,
        typer.Option(
            help="First rows of a new token. mean: of all rows; semantic: of words such as undo and delete; "
            "description: the model's state behind a sentence about it; subtokens: of the pieces of its "
            "text; random: drawn with their deviation."
        ),
    ] = "mean",
    description: Annotated[
        str,
        typer.Option(help="Text that --init description reads.", show_default="a sentence for each token"),
    ] = "",
    pad_to: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Multiple of which the rows are made; rows without a token are never sampled or trained.",
            show_default="a power of two up to 64 that divides the model's own rows",
        ),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    quiet: Quiet = False,
    **further: bool,
) -> None:
    """Add <|BACKTRACK|> to a model and its tokenizer as an ordinary token, and save both."""
    from rich.console import Console

    from halluc_plugin.atomic_files import whole_folder
    from halluc_plugin.cli.doctor import print_checks
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens import inspect_tokenizer
    from halluc_plugin.tokens.addition import add_edit_tokens
    from halluc_plugin.tokens.initialisation import Initialisation
    from halluc_plugin.tokens.loading import load_model, load_tokenizer
    from halluc_plugin.tokens.saving import save_model

    how = choose(Initialisation, init, "--init")
    tokens = [BACKTRACK_TOKEN, *(token.text for token in FURTHER if further[token.role])]
    console = Console()
    busy = nullcontext() if quiet else Console(stderr=True).status(f"Adding tokens to {model} ...")
    with whole_folder(out) as folder, busy:  # refused before a model is loaded
        tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code)
        network = load_model(model, trust_remote_code=trust_remote_code, dtype="auto")
        added = add_edit_tokens(network, tokenizer, tokens, how=how, description=description, pad_to=pad_to)
        save_model(network, tokenizer, folder, base=model)
    checks = inspect_tokenizer(tokenizer, network.config)
    if quiet:
        if bad := [check for check in checks if check.status != "ok"]:
            print_checks({f"Model in {out}": bad})
        return
    print_checks({f"Model in {out}": checks})
    for token, token_id in added.ids.items():
        state = f"added, rows by {how}" if token in added.new else "was there, left as it was"
        console.print(f"{token}  id {token_id}  ({state})", highlight=False)
    spare = f", of which {added.padding} stand for no token" if added.padding else ""
    console.print(
        f"Embedding rows: {added.rows_before} before, {added.rows_after} after{spare}", highlight=False
    )
