"""``halluc probe ...``: what a model would do at given places, without letting it write."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.data_options import Delimiter, MaxTokens, Model, Seed, Temperature, TrustRemoteCode
from halluc_plugin.cli.help import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc_plugin.metrics import Proportion
    from halluc_plugin.probes.history import HistoryProbe


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = typer.Typer(
        help="Ask a model what it would do at given places.",
        epilog=examples("halluc probe history --model CHECKPOINT --data DATA/word/test.parquet"),
        no_args_is_help=True,
    )
    # A callback, so that a group of one command stays a group.
    commands.callback()(_group)
    commands.command(
        "history",
        epilog=examples(
            "halluc probe history --model CHECKPOINT --data DATA/word/test.parquet",
            "halluc probe history --model CHECKPOINT --traces DATA/word/traces.parquet --out history.json",
        ),
    )(history)
    app.add_typer(commands, name="probe")


def _group() -> None:
    pass


def history(
    model: Model,
    trace_file: Annotated[
        Path | None,
        typer.Option("--traces", help="Trace file whose traces are the histories.", show_default="none"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Problems: the model samples a trace of each, which are the histories.", show_default="none"
        ),
    ] = None,
    context: Annotated[
        choices.Contexts, typer.Option(help="What the model sees as it samples, with --data.")
    ] = "soft",
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = 256,
    step_delimiter: Delimiter = "\n",
    limit: Annotated[int, typer.Option(help="Most traces, from the first.")] = 200,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for all numbers.", show_default="none")] = None,
) -> None:
    """Compare what is decided at the same live text with and without a history, in soft and hard context."""
    import json
    from dataclasses import asdict

    from halluc_plugin.atomic_files import write_whole
    from halluc_plugin.edits import Context
    from halluc_plugin.jobs.history import HistoryJob, probe
    from halluc_plugin.settings import choose

    job = HistoryJob(
        model, trace_file, data, choose(Context, context, "--context"), max_tokens, temperature,
        step_delimiter, limit, seed, trust_remote_code,
    )  # fmt: skip
    found = probe(job)
    _report(found)
    if out is not None:
        write_whole(out, json.dumps([asdict(each) for each in found], indent=1) + "\n")
        typer.echo(f"Numbers in {out}")


def _report(probes: "Sequence[HistoryProbe]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Decisions at the same live text, with a history and")
    for heading in ("context", "beside", "taken back", "places", "alike in %", "variation"):
        table.add_column(heading, justify="right" if heading in {"taken back", "places"} else "left")
    for each in probes:
        for beside, by_tries in (("none", each.by_tries), ("permuted", each.permuted)):
            for tries, agreement in by_tries.items():
                shown = _share(agreement.same), _number(agreement.variation)
                table.add_row(each.context, beside, str(tries), str(agreement.same.n), *shown)
    Console().print(table)


def _share(share: "Proportion") -> str:
    return f"{100 * share.value:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _number(share: "Proportion") -> str:
    return f"{share.value:.1g} [{share.low:.1g}, {share.high:.1g}]"
