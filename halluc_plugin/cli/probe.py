"""The commands ``halluc probe ...``: what a model would do at given places, without letting it write."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.application import Application
from halluc_plugin.cli.data_options import Delimiter, Model, Quiet, Seed, TemplateKwargs, TrustRemoteCode
from halluc_plugin.cli.data_output import progress_unless
from halluc_plugin.cli.help import MEASURES, examples, refuse
from halluc_plugin.cli.probe_forgetting import forgetting
from halluc_plugin.cli.probe_signal import signal
from halluc_plugin.cli.tables import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc_plugin.metrics import Proportion
    from halluc_plugin.probes.history import HistoryProbe


def register(app: typer.Typer) -> None:
    """Add the commands."""
    commands = Application(
        help="Ask a model what it would do at given places.",
        epilog=examples("halluc probe history --model CHECKPOINT --data DATA/word/test.parquet"),
        no_args_is_help=True,
    )
    commands.command(
        "history",
        epilog=examples(
            "halluc probe history --model CHECKPOINT --data DATA/word/test.parquet",
            "halluc probe history --model CHECKPOINT --traces DATA/word/traces.parquet --out history.json",
        ),
    )(history)
    commands.command(
        "signal",
        epilog=examples(
            "halluc probe signal entropy --model CHECKPOINT --data DATA/word/test.parquet",
            "halluc probe signal entropy edit linear-head --model CHECKPOINT --without CLEAN "
            "--data DATA/word/test.parquet --out signals.json",
            "halluc probe signal mind --model CHECKPOINT --data DATA/word/test.parquet "
            "--references DATA/word/traces.parquet",
        ),
    )(signal)
    commands.command(
        "forgetting",
        epilog=examples(
            "halluc probe forgetting --model CHECKPOINT --base CLEAN --data DATA/word/test.parquet",
            "halluc probe forgetting --model CHECKPOINT --base CLEAN --data DATA/word/test.parquet "
            "--text DATA/chain/traces.parquet --samples 4 --out forgetting.json",
        ),
    )(forgetting)
    app.add_typer(commands, name="probe", rich_help_panel=MEASURES)


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
        choices.Contexts | None,
        typer.Option(help="What the model sees as it samples, with --data.", show_default="soft"),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Temperature at which answers are sampled, with --data.", show_default="1.0"),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of an answer, with --data.", show_default="256")
    ] = None,
    step_delimiter: Delimiter = "\n",
    limit: Annotated[int, typer.Option(min=1, help="Most traces, from the first.")] = 200,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for all numbers.", show_default="none")] = None,
    quiet: Quiet = False,
) -> None:
    """Compare what is decided at the same live text with and without a history, in soft and hard context."""
    import json
    from dataclasses import asdict

    from halluc_plugin.atomic_files import write_whole
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.edits import Context
    from halluc_plugin.jobs.history import HistoryJob, probe
    from halluc_plugin.settings import choose

    sampling: dict[str, Any] = {"context": context, "temperature": temperature, "max_tokens": max_tokens}
    if trace_file is not None and data is None:
        given = sampling | {"template_kwargs": template}
        refuse(given, "with --traces", "Leave it out, or give --data: the traces of a file are as they are.")
    chosen = {name: value for name, value in sampling.items() if value is not None}
    if context is not None:
        chosen["sampled"] = choose(Context, chosen.pop("context"), "--context")
    job = HistoryJob(
        model, trace_file, data, step_delimiter=step_delimiter, limit=limit, seed=seed,
        trust_remote_code=trust_remote_code, apply_chat_template_kwargs=template_kwargs(template), **chosen,
    )  # fmt: skip
    found = probe(job, progress_unless(quiet))
    _report(found)
    if out is not None:
        write_whole(out, json.dumps([asdict(each) for each in found], indent=1) + "\n")
        if not quiet:
            typer.echo(f"Numbers in {out}")


def _report(probes: "Sequence[HistoryProbe]") -> None:
    from rich.console import Console

    shown = Table(
        "context", "compared with", "taken back", "places", "alike in %", "variation",
        numbers=("taken back", "places"),
        title="Decisions at the same live text, with a history and with another one or none",
    )  # fmt: skip
    for each in probes:
        for other, by_tries in (("no history", each.by_tries), ("permuted", each.permuted)):
            for tries, agreement in by_tries.items():
                cells = _share(agreement.same), _number(agreement.variation)
                shown.add_row(each.context, other, str(tries), str(agreement.same.n), *cells)
    Console().print(shown)


def _share(share: "Proportion") -> str:
    return f"{100 * share.value:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _number(share: "Proportion") -> str:
    return f"{share.value:.1g} [{share.low:.1g}, {share.high:.1g}]"
