"""The command ``halluc data resets``: traces and pairs of reset training, of rows of your own."""

from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import Json, Limit, Quiet, Seed, TemplateKwargs, TrustRemoteCode, Workers
from halluc_plugin.cli.data_output import train_command, write_file
from halluc_plugin.cli.help import examples
from halluc_plugin.commands import shell

RESET_EXAMPLES = {
    "resets": examples("halluc data resets --data rows.parquet --model my-model --out resets"),
}


def resets(
    data: Annotated[
        Path,
        typer.Option(
            help="Rows of prompt, harmful and safe (parquet, .json or .jsonl); harmless prompts have no "
            "harmful answer."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Model folder or hub name with a restart token.", metavar="PATH")
    ],
    out: Annotated[Path, typer.Option(help="Folder for traces.parquet, pairs.parquet and their cards.")],
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 1,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write harmful answers that are begun, taken back as a whole and answered safely, and pairs of them."""
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS, template_kwargs
    from halluc_plugin.data.resumable import named
    from halluc_plugin.jobs.resets import reset_vocab
    from halluc_plugin.problem_sets.resets import ResetPairs, ResetTraces, read_guarded
    from halluc_plugin.tokens.loading import load_tokenizer

    asked = template_kwargs(template)
    known = load_tokenizer(model, trust_remote_code=trust_remote_code)
    vocab = reset_vocab(model, known, trust_remote_code=trust_remote_code)
    rows = read_guarded(data, known, vocab, limit, template_kwargs=asked)
    described: dict[str, Any] = {"data": named(data), "limit": limit, TEMPLATE_KWARGS: asked}
    cards = {}
    for name, kind in (("traces", ResetTraces), ("pairs", ResetPairs)):
        make = kind(vocab, int(known.eos_token_id), seed)
        cards[name] = write_file(
            out / f"{name}.parquet", rows, known, make, {"how": f"reset {name}", **described}, seed,
            workers=workers, of="rows", quiet=quiet,
        )  # fmt: skip
    tuned, preferred = out / "tuned", out / "preferred"
    train = ("halluc", "train", "--model", tuned, "--data", out / "pairs.parquet", "--objective", "dpo")
    tell(
        cards["traces"],
        f"To train on it: {train_command(model, out / 'traces.parquet', out=tuned)}",
        f"Then on the pairs: {shell(*train, '--reference', tuned, '--out', preferred)}",
        as_json=as_json,
        quiet=quiet,
    )
