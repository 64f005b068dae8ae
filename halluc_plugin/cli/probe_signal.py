"""The command ``halluc probe signal``, which measures whether a model's insides tell dead from live texts."""

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
    from collections.abc import Sequence

    from halluc_plugin.jobs.signals.job import PolicySignals
    from halluc_plugin.jobs.signals.measures import SignalFound
    from halluc_plugin.metrics import Proportion


def signal(
    names: Annotated[
        list[str],
        typer.Argument(
            help="One or more of entropy, margin, edit, phase-shift, linear-head, two-layer-head, mind, "
            "eigenscore and semantic-entropy.",
            metavar="NAME...",
        ),
    ],
    model: Model,
    data: Annotated[Path, typer.Option(help="Problems whose verifier judges steps or prefixes.")],
    without: Annotated[
        str | None,
        typer.Option(
            help="A second policy that is probed alike, such as one that was trained without the token.",
            metavar="PATH",
            show_default="none",
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(
            help="Layer whose hidden states are read: 0 is the embeddings, -1 the last one.",
            show_default="the last one; eigenscore, phase-shift: the middle one",
        ),
    ] = None,
    continuations: Annotated[
        int | None,
        typer.Option(
            help="Continuations of a place that are compared (eigenscore, semantic-entropy).",
            show_default="10",
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            help="Trace file of right answers from which mind makes its labels.", show_default="none"
        ),
    ] = None,
    false_alarm: Annotated[
        float, typer.Option(help="Largest share of live steps that the threshold may flag.")
    ] = 0.05,
    samples: Annotated[int, typer.Option("--samples", "-k", help="Answers to each problem.", min=1)] = 8,
    places: Annotated[
        int, typer.Option(help="Most places of each kind, dead and live, in a problem.", min=1)
    ] = 8,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 1.0,
    step_delimiter: Delimiter = "\n",
    limit: Annotated[int, typer.Option(min=2, help="Most problems, from the first.")] = 200,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for all numbers.", show_default="none")] = None,
    quiet: Quiet = False,
) -> None:
    """Measure whether a signal inside a model tells that its text is dead, and how long before the token."""
    import json

    from halluc_plugin.atomic_files import write_whole
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.jobs.signals.asked import Signal, SignalJob
    from halluc_plugin.jobs.signals.job import as_json, probe_signals
    from halluc_plugin.settings import choose

    job = SignalJob(
        model, data, tuple(choose(Signal, name, "NAME") for name in names), without=without, layer=layer,
        continuations=continuations, references=references, false_alarm=false_alarm, samples=samples,
        places=places, max_tokens=max_tokens, temperature=temperature, step_delimiter=step_delimiter,
        limit=limit, seed=seed,
        trust_remote_code=trust_remote_code, apply_chat_template_kwargs=template_kwargs(template),
    )  # fmt: skip
    found = probe_signals(job, progress_unless(quiet))
    _report(found)
    if out is not None:
        write_whole(out, json.dumps(as_json(found), indent=1, allow_nan=False) + "\n")
        if not quiet:
            typer.echo(f"Numbers in {out}")


def _report(found: "Sequence[PolicySignals]") -> None:
    from rich.console import Console

    ranked = Table(
        "policy", "signal", "depth", "places", "dead in %", "AUROC of dead", "AP of dead",
        "AUROC of wrong step", "AP of wrong step", numbers=("depth", "places", "dead in %"),
        title="Does the signal tell? (problems that nothing was fitted on)",
    )  # fmt: skip
    passed = Table(
        "policy", "signal", "threshold of", "live in % where chosen", "live in %", "dead in %",
        title="What share of steps does it flag? (problems that nothing was fitted on)",
    )  # fmt: skip
    leads = Table(
        "policy", "signal", "events", "tokens to the edit", "before the edit in %", "by chance in %",
        "median lead", numbers=("events", "tokens to the edit", "median lead"),
        title="Does it tell before the token does?",
    )  # fmt: skip
    for policy in found:
        name = f"{Path(policy.model).name}{'' if policy.token else ' (no token)'}"
        for each in policy.found:
            _ranked_rows(ranked, name, each)
            _passed_rows(passed, name, each)
            _lead_row(leads, name, each)
            for calibration in (each.steps, each.tokens):
                if calibration is not None and calibration.warning:
                    typer.echo(f"Warning: {each.signal} on {name}: {calibration.warning}", err=True)
    Console().print(ranked, passed, leads)


def _ranked_rows(table: Table, policy: str, found: "SignalFound") -> None:
    rows = [("all", found.dead, found.fell)]
    rows += [
        (str(depth), found.dead_by_depth[depth], found.fell_by_depth[depth]) for depth in found.dead_by_depth
    ]
    for depth, dead, fell in rows:
        table.add_row(
            policy, found.signal, depth, str(dead.n), f"{100 * dead.positives / max(1, dead.n):.0f}",
            *map(_share, (dead.auc, dead.average_precision, fell.auc, fell.average_precision)),
        )  # fmt: skip


def _passed_rows(table: Table, policy: str, found: "SignalFound") -> None:
    rows = (("steps", found.steps, found.steps_held_out), ("tokens", found.tokens, found.tokens_held_out))
    for what, chosen, there in rows:
        if chosen is not None and there is not None:
            share = f"{100 * chosen.live:.0f}"
            table.add_row(policy, found.signal, what, share, *map(_percent, (there.live, there.dead)))


def _lead_row(table: Table, policy: str, found: "SignalFound") -> None:
    lead = found.lead
    if lead is None:
        table.add_row(policy, found.signal, "0", "", found.no_lead)
        return
    median = "none" if lead.median is None else f"{lead.median:g}"
    table.add_row(
        policy, found.signal, str(lead.events), f"{lead.tokens:.1f}", _percent(lead.before),
        _percent(lead.by_chance), median,
    )  # fmt: skip


def _share(share: "Proportion") -> str:
    return "" if math.isnan(share.value) else f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"


def _percent(share: "Proportion") -> str:
    if math.isnan(share.value):
        return ""
    return f"{100 * share.value:.0f} [{100 * share.low:.0f}, {100 * share.high:.0f}]"
