"""The command ``halluc probe forgetting``, which measures what training made a model forget."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli.data_options import (
    Delimiter,
    MaxTokens,
    Model,
    Quiet,
    Seed,
    Temperature,
    TemplateKwargs,
    TrustRemoteCode,
)
from halluc_plugin.cli.data_output import progress_unless
from halluc_plugin.cli.tables import Table

if TYPE_CHECKING:
    from halluc_plugin.jobs.forgetting import Forgetting
    from halluc_plugin.metrics.means import Mean


def forgetting(
    model: Model,
    base: Annotated[
        str,
        typer.Option(
            help="Model folder or hub name that training started from; edit tokens may be missing there.",
            metavar="PATH",
        ),
    ],
    data: Annotated[Path, typer.Option(help="Problems of the clean task, which both models answer.")],
    text: Annotated[
        Path | None,
        typer.Option(
            help="Neutral text on which distributions are compared: a trace file without edits, or rows with "
            "a prompt, which is the text.",
            show_default="the base's own answers",
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", "-k", help="Answers of each model to each problem.", min=1)
    ] = 1,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 1.0,
    step_delimiter: Delimiter = "\n",
    limit: Annotated[int, typer.Option(min=1, help="Most problems, and most texts, from the first.")] = 200,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for all numbers.", show_default="none")] = None,
    quiet: Quiet = False,
) -> None:
    """Measure what training made a model forget: right answers with edits banned, and KL to its base."""
    import json

    from halluc_plugin.atomic_files import write_whole
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.jobs.forgetting import ForgettingJob, probe_forgetting

    job = ForgettingJob(
        base, model, data, text, samples=samples, max_tokens=max_tokens, temperature=temperature,
        step_delimiter=step_delimiter, limit=limit, seed=seed, trust_remote_code=trust_remote_code,
        apply_chat_template_kwargs=template_kwargs(template),
    )  # fmt: skip
    found = probe_forgetting(job, progress_unless(quiet))
    _report(found)
    if out is not None:
        write_whole(out, json.dumps(found.as_json(), indent=1) + "\n")
        if not quiet:
            typer.echo(f"Numbers in {out}")


def _report(found: "Forgetting") -> None:
    from rich.console import Console

    shown = Table("", f"{len(found.before)} problems, edits banned")
    for label, share, sign in (
        ("answers right, base", found.accuracy_before, ""),
        ("answers right, model", found.accuracy_after, ""),
        ("change, in points", found.change, "+"),
    ):
        value, low, high = (f"{100 * x:{sign}.1f}" for x in (share.value, share.low, share.high))
        shown.add_row(label, f"{value}{'' if sign else ' %'} [{low}, {high}]")
    tokens = found.drift.divergence.n
    shown.add_row(f"KL(base, model) in nats a token, {tokens} tokens", _mean(found.drift.divergence))
    shown.add_row("probability of an edit a token", _mean(found.drift.edits))
    Console().print(shown)


def _mean(mean: "Mean") -> str:
    if not math.isfinite(mean.low):
        return f"{mean.value:.3g}"
    return f"{mean.value:.3g} [{mean.low:.3g}, {mean.high:.3g}]"
