"""``halluc search`` answers a file of problems by search, and says how many are right and at what cost."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.data_options import (
    Backend,
    Delimiter,
    Limit,
    MaxTokens,
    Model,
    RewardFunction,
    Seed,
    Temperature,
    TemplateKwargs,
    TrustRemoteCode,
    problems_together,
)
from halluc_plugin.cli.help import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc_plugin.jobs.search import SearchJob
    from halluc_plugin.search.answers import Answered


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "search",
        epilog=examples(
            "halluc search --model CHECKPOINT --data DATA/countdown/test_seen.parquet --samples 8 --rounds 1",
            "halluc search --model CHECKPOINT --data DATA/countdown/test_seen.parquet --method sample "
            "--rule majority --out answers.jsonl",
        ),
    )(search)


def search(
    model: Model,
    data: Annotated[Path, typer.Option(help="Problems: a file of verl's rows whose source has a verifier.")],
    method: Annotated[
        choices.Methods,
        typer.Option(
            help="How to search: backtrack (Self-Backtracking), or a baseline: sample, greedy, beam, "
            "breadth-first or depth-first.",
            metavar="METHOD",
        ),
    ] = "backtrack",
    samples: Annotated[
        int, typer.Option("--samples", "-n", help="Samples of a round, beams, or proposals of a state.")
    ] = 8,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", "-b", help="Rounds of backtracking; for --method backtrack alone.", show_default="1"
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="States kept at a depth (breadth-first) or expanded (depth-first).", show_default="8"
        ),
    ] = None,
    rule: Annotated[
        choices.Rules, typer.Option(help="How an answer is selected; verifier goes with --verifier.")
    ] = "mean-logprob",
    verifier: Annotated[
        str | None,
        typer.Option(
            help="Model that scores answers; it has the same ids.", metavar="PATH", show_default="none"
        ),
    ] = None,
    verifier_says: Annotated[
        choices.Sayings,
        typer.Option(
            help="likelihood: how likely an answer is; verdict: whether it is right (halluc data verdicts)."
        ),
    ] = "likelihood",
    ban_edits: Annotated[
        bool, typer.Option("--ban-edits", help="The same model, not allowed to backtrack.")
    ] = False,
    tabu: Annotated[
        choices.Tabus,
        typer.Option(
            help="first: a state that is come back to is not left again by the first token of what was taken "
            "back (backtrack), and samples begin differently (sample: the same resource for a clean model)."
        ),
    ] = "off",
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Trees drop steps that the problem's prefix verifier refutes.")
    ] = False,
    temperature: Temperature = 0.7,
    max_tokens: MaxTokens = 256,
    step_delimiter: Delimiter = "\n",
    limit: Limit = None,
    seed: Seed = 0,
    backend: Backend = "hf",
    reward_function: RewardFunction = None,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSONL file, one answer a problem; an interrupted search of the same goes on.",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Answer problems by Self-Backtracking's search or by a baseline."""
    from halluc_plugin.atomic_files import whole_file
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.decoding.policy import Tabu
    from halluc_plugin.jobs.samplers import Backend
    from halluc_plugin.jobs.search import Method, SearchJob, answer
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.scorers.likelihood import Says
    from halluc_plugin.search import Rule
    from halluc_plugin.settings import choose

    job = SearchJob(
        model=model,
        data=data,
        method=choose(Method, method, "--method"),
        n=samples,
        rounds=rounds,
        budget=budget,
        rule=choose(Rule, rule, "--rule"),
        verifier=verifier,
        verifier_says=choose(Says, verifier_says, "--verifier-says"),
        ban_edits=ban_edits,
        tabu=Tabu.of(tabu),
        oracle=oracle,
        temperature=temperature,
        max_tokens=max_tokens,
        step_delimiter=step_delimiter,
        limit=limit,
        seed=seed,
        backend=choose(Backend, backend, "--backend"),
        reward_function=reward_function,
        trust_remote_code=trust_remote_code,
        apply_chat_template_kwargs=template_kwargs(template),
    )
    part = problems_together(backend, samples)
    if out is None:
        with TemporaryDirectory() as folder:
            answers = answer(job, Path(folder) / "answers", part, show_progress)
    else:
        with whole_file(out) as partial:  # before the work, not after it: a file that cannot be written
            answers = answer(job, out.with_name(f".{out.name}.answers"), part, show_progress)
            partial.write_text("".join(_lines(job, answers)), encoding="utf-8")
    _report(answers, f"{job.method}, {job.rule}")
    if out is not None:
        typer.echo(f"Answers in {out}")


def _report(answers: "Sequence[Answered]", title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from halluc_plugin.metrics import Proportion, counted_discrimination

    def share(values: list[bool]) -> str:
        return percent(Proportion.of(sum(values), len(values)))

    def percent(proportion: Proportion) -> str:
        low, high = 100 * proportion.low, 100 * proportion.high
        return f"{100 * proportion.value:.1f} % [{low:.1f}, {high:.1f}]"

    table = Table("", f"{title}, {len(answers)} problems")
    table.add_row("answers right", share([answer.correct for answer in answers]))
    table.add_row("a right one among those found", share([answer.reachable for answer in answers]))
    for label, total, form in (
        ("answers found", sum(answer.found for answer in answers), ".1f"),
        ("tokens sampled", sum(answer.tokens for answer in answers), ".1f"),
        ("forward FLOPs", sum(answer.flops for answer in answers), ".3g"),
    ):
        table.add_row(label, f"{total / len(answers):{form}} a problem")
    found = counted_discrimination([answer.step_ends for answer in answers])
    for label, kind in (("where a step ends in a dead end", found.dead), ("where it does not", found.live)):
        if kind.n:
            table.add_row(f"edits {label}", f"{percent(kind)} of {kind.n}")
    if found.dead.n and found.live.n:
        gap = found.difference
        table.add_row("D, their difference", f"{gap.value:.2f} [{gap.low:.2f}, {gap.high:.2f}]")
    Console().print(table)


def _lines(job: "SearchJob", answers: "Sequence[Answered]") -> list[str]:
    from dataclasses import asdict

    settings: dict[str, Any] = asdict(job) | {"data": str(job.data)}
    rows = [{"row": row} | asdict(answer) | {"search": settings} for row, answer in enumerate(answers)]
    return [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
