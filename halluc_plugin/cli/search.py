"""``halluc search`` answers a file of problems by search, and says how many are right and at what cost."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli import search_options as options
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
from halluc_plugin.cli.search_report import lines, report, title


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "search",
        epilog=examples(
            "halluc search --model CHECKPOINT --data DATA/countdown/test_seen.parquet --samples 8 --rounds 1",
            "halluc search --model CHECKPOINT --data DATA/countdown/test_seen.parquet --method sample "
            "--rule majority --out answers.jsonl",
            "halluc search --model CHECKPOINT --data DATA/chain/test.parquet --method revise --scorer PRM "
            "--samples 16 --revisions 8 --p-des 0.9",
        ),
    )(search)


def search(
    model: Model,
    data: Annotated[Path, typer.Option(help="Problems: a file of verl's rows whose source has a verifier.")],
    method: Annotated[
        choices.Methods,
        typer.Option(
            help="How to search: backtrack (Self-Backtracking); by values of steps (--scorer) revise, "
            "best-of-n, weighted-majority, value-beam, ts-llm, lats or subpool; or a baseline: sample, "
            "greedy, beam, breadth-first or depth-first.",
            metavar="METHOD",
        ),
    ] = "backtrack",
    samples: Annotated[
        int, typer.Option("--samples", "-n", help="Samples of a round, beams, or proposals of a state.")
    ] = 8,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            "-b",
            help="Rounds of backtracking (backtrack), or of the pool (subpool).",
            show_default="1; subpool: 32",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="States kept at a depth (breadth-first, value-beam) or expanded (depth-first, ts-llm, "
            "lats). For revise: a beam of so many prefixes writes the suffixes.",
            show_default="8; revise: best-of-n",
        ),
    ] = None,
    rule: Annotated[
        choices.Rules | None,
        typer.Option(
            help="How an answer is selected; verifier goes with --verifier. A search by values of steps "
            "selects its own.",
            show_default="mean-logprob",
        ),
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            help="Model that scores answers, or states values of steps; it has the same ids.",
            metavar="PATH",
            show_default="none",
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
    scorer: options.Scorer = None,
    rollouts: options.Rollouts = None,
    corrector: options.Corrector = None,
    arm: options.Arm = None,
    better: options.Better = None,
    omega: options.Omega = None,
    p_des: options.PDes = None,
    revisions: options.Revisions = None,
    reduction: options.Reduction = None,
    lookahead: options.Lookahead = None,
    exploration: options.Exploration = None,
    reflect: options.Reflect = False,
    share: options.Share = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSONL file, one answer a problem; an interrupted search of the same goes on.",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Answer problems by Self-Backtracking's search, by one that values of steps guide, or by a baseline."""
    from halluc_plugin.atomic_files import whole_file
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.decoding.policy import Tabu
    from halluc_plugin.jobs.samplers import Backend
    from halluc_plugin.jobs.search import Guidance, Method, SearchJob, answer
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.scorers.likelihood import Says
    from halluc_plugin.search import Rule
    from halluc_plugin.search.ranking import Reduction
    from halluc_plugin.search.revision import Arm, Better
    from halluc_plugin.settings import choose

    job = SearchJob(
        model=model,
        data=data,
        method=choose(Method, method, "--method"),
        n=samples,
        rounds=rounds,
        budget=budget,
        rule=None if rule is None else choose(Rule, rule, "--rule"),
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
        guidance=Guidance(
            scorer=scorer,
            rollouts=rollouts,
            corrector=corrector,
            better=None if better is None else choose(Better, better, "--better"),
            omega=omega,
            p_des=p_des,
            revisions=revisions,
            arm=None if arm is None else choose(Arm, arm, "--arm"),
            reduction=None if reduction is None else choose(Reduction, reduction, "--reduction"),
            lookahead=lookahead,
            exploration=exploration,
            reflect=reflect,
            share=share,
        ),
    )
    part = problems_together(backend, samples)
    if out is None:
        with TemporaryDirectory() as folder:
            answers = answer(job, Path(folder) / "answers", part, show_progress)
    else:
        with whole_file(out) as partial:  # before the work, not after it: a file that cannot be written
            answers = answer(job, out.with_name(f".{out.name}.answers"), part, show_progress)
            partial.write_text("".join(lines(job, answers)), encoding="utf-8")
    report(answers, title(job))
    if out is not None:
        typer.echo(f"Answers in {out}")
