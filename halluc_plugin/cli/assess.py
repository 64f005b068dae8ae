"""The command ``halluc assess``, which predicts before any training whether taking back would pay."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli.data_options import Model, Quiet, Samples, Sampling, problems_together
from halluc_plugin.cli.data_output import progress_unless, with_engine
from halluc_plugin.cli.help import MEASURES, examples
from halluc_plugin.cli.spread import spread
from halluc_plugin.cli.tables import Table

if TYPE_CHECKING:
    from halluc_plugin.jobs.assess.job import Assessment
    from halluc_plugin.metrics import Proportion


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "assess",
        rich_help_panel=MEASURES,
        epilog=examples(
            "halluc assess --model CHECKPOINT --data DATA/word/test.parquet --out assessment",
        ),
    )(spread(assess))


def assess(
    model: Model,
    data: Annotated[Path, typer.Option(help="Problems: a file of verl's rows whose verifier judges steps.")],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for assessment.json (dated, hashed, never written over), a picture and the records."
        ),
    ],
    samples: Samples = 16,
    edits: Annotated[int, typer.Option(help="How often a predicted policy takes back at most.")] = 8,
    margin: Annotated[
        float, typer.Option(help="Widest half of an accuracy's 95 % interval that is accepted.")
    ] = 0.1,
    verdict_prompt: Annotated[
        str | None,
        typer.Option(
            help="Text behind an unfinished answer that asks whether it can still be right, 1 or 0.",
            show_default="a sentence",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most rows read, from the first.")] = 200,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    quiet: Quiet = False,
) -> None:
    """Measure a model before any training on edits, and predict what taking back would be worth."""
    from halluc_plugin.jobs.assess.job import QUESTION, AssessJob
    from halluc_plugin.jobs.assess.job import assess as run
    from halluc_plugin.jobs.samplers import Backend
    from halluc_plugin.settings import choose

    sampling = with_engine(sampling, model, quiet=quiet, only_hf="the same model is read for signals")
    job = AssessJob(
        model=model,
        data=data,
        out=out,
        samples=samples,
        edits=edits,
        margin=margin,
        verdict_prompt=QUESTION if verdict_prompt is None else verdict_prompt,
        limit=limit,
        seed=sampling.seed,
        backend=choose(Backend, sampling.backend, "--backend"),
        trust_remote_code=sampling.trust_remote_code,
        apply_chat_template_kwargs=sampling.template_kwargs,
        **sampling.space_settings,
    )
    _report(run(job, problems_together(sampling.backend, samples), progress_unless(quiet)))
    if not quiet:
        typer.echo(f"Predictions and their hash: {out / 'assessment.json'}")


def _report(found: "Assessment") -> None:
    from rich.console import Console

    console, measured = Console(), found.measured
    steps = Table("step", "slips", "dead ends", "shows it", "live on retry", title="Steps from live text")
    for number, step in enumerate(measured.steps, 1):
        seen = "" if step.seen is None else _share(step.seen)
        steps.add_row(str(number), _share(step.slip), _share(step.dead), seen, _share(step.retry))
    console.print(steps)
    signals = Table("signal", "AUC", "D", title="Dead from live, on held-out problems")
    for name, signal in found.signals.measured.items():
        auc, gap = signal.ranked.auc, signal.cut.difference
        signals.add_row(
            name,
            f"{auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}]",
            f"{gap.value:.2f} [{gap.low:.2f}, {gap.high:.2f}]",
        )
    for name, reason in found.signals.missing.items():
        signals.add_row(name, "", reason)
    console.print(signals)
    headings = ("right", "tokens", "FLOPs", "majority", "best", "of n")
    predicted = Table(
        "noticed, context, unit", *headings, numbers=headings,
        title="Predicted, next to samples at equal tokens",
    )  # fmt: skip
    for each in found.predictions:
        values = (f"{100 * value:.1f}" for value in (each.majority, each.best_of))
        size = f"{each.samples:.1f}{'+' if each.beyond else ''}"
        success = f"{100 * each.success:.1f}"
        cost = (f"{each.tokens:.1f}", f"{each.flops:.1e}")
        what = f"{each.detection}, {each.context}, {each.unit}"
        predicted.add_row(what, success, *cost, *values, size)
    console.print(predicted)
    console.print(
        f"One answer: {_share(measured.accuracy)} measured, {100 * found.plain:.1f} by its steps' rates; "
        f"from the last good state {_share(measured.retry_right)}.",
        highlight=False,
    )
    for line in found.advice:
        typer.echo(line)


def _share(share: "Proportion") -> str:
    if not share.n:
        return "none"
    return f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"
