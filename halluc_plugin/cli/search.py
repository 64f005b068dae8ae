"""The command ``halluc search``, which answers problems by search and reports accuracy and cost."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.data_options import (
    Limit,
    Model,
    Quiet,
    RewardFunction,
    Sampling,
    problems_together,
)
from halluc_plugin.cli.data_output import progress_unless, with_engine
from halluc_plugin.cli.help import MEASURES, examples, renamed
from halluc_plugin.cli.search_erasing import ErasingOptions
from halluc_plugin.cli.search_options import GuidanceOptions
from halluc_plugin.cli.search_report import erasure_warning, lines, report, title
from halluc_plugin.cli.spread import spread


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "search",
        rich_help_panel=MEASURES,
        epilog=examples(
            "halluc search --model CHECKPOINT --data DATA/countdown/test_seen.parquet --samples 8 --rounds 1",
            "halluc search --model CHECKPOINT --data DATA/countdown/test_seen.parquet --method sample "
            "--rule majority --out answers.jsonl",
            "halluc search --model CHECKPOINT --data DATA/chain/test.parquet --method revise --scorer PRM "
            "--samples 16 --revisions 8 --p-des 0.9",
            "halluc search --model CHECKPOINT --data DATA/word/test.parquet --method erase "
            "--calibration signals.json --erase e3rl",
            "halluc search --model LARGE --data DATA/chain/test.parquet --method draft-verify --draft SMALL "
            "--scorer likelihood --accept 0.7 --samples 1",
        ),
    )(spread(search))


def search(
    model: Model,
    data: Annotated[Path, typer.Option(help="Problems: a file of verl's rows whose source has a verifier.")],
    method: Annotated[
        choices.Methods,
        typer.Option(
            help="How to search: backtrack (Self-Backtracking); by values of steps (--scorer) revise, "
            "best-of-n, weighted-majority, value-beam, ts-llm, lats, subpool or draft-verify; erase: by a "
            "signal, without training (--calibration); or a baseline: sample, greedy, beam, breadth-first "
            "or depth-first; refine: a finished answer that the model restarts is written anew (ReVISE); "
            "debate: copies read one another's answers and answer again.",
            metavar="METHOD",
        ),
    ] = "backtrack",
    samples: Annotated[
        int,
        typer.Option("--samples", "-k", help="Samples of a round, copies, beams, or proposals of a state."),
    ] = 8,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            "-b",
            help="Rounds of backtracking (backtrack), refinements (refine), rounds in which copies read "
            "(debate), or rounds of the pool (subpool).",
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
            help="How an answer is selected; verifier goes with --verifier; universal: the model reads all "
            "and chooses. A search by values of steps selects its own.",
            show_default="mean-logprob; debate: majority",
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
    request: Annotated[
        str | None,
        typer.Option(
            help="Text behind answers that the model reads, to ask for another (debate, --rule universal).",
            metavar="TEXT",
            show_default="a sentence that asks to answer again",
        ),
    ] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Trees drop steps that the problem's prefix verifier refutes.")
    ] = False,
    limit: Limit = None,
    reward_function: RewardFunction = None,
    sampling: Sampling = Sampling(temperature=0.7),  # noqa: B008 - frozen
    old_n: Annotated[int | None, typer.Option("-n", help="Old name of --samples.", hidden=True)] = None,
    guided: GuidanceOptions = GuidanceOptions(),  # noqa: B008 - frozen
    erased: ErasingOptions = ErasingOptions(),  # noqa: B008 - frozen
    out: Annotated[
        Path | None,
        typer.Option(
            help="JSONL file, one answer a problem; an interrupted search of the same goes on.",
            show_default="none",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Answer problems by Self-Backtracking's search, by one that values of steps guide, or by a baseline."""
    from halluc_plugin.atomic_files import make_folder, whole_file
    from halluc_plugin.decoding.policy import Tabu
    from halluc_plugin.jobs.samplers import Backend
    from halluc_plugin.jobs.search import Method, SearchJob, answer
    from halluc_plugin.jobs.search_methods import GUIDED
    from halluc_plugin.scorers.likelihood import Says
    from halluc_plugin.search import Rule
    from halluc_plugin.settings import choose

    samples = renamed("-n", old_n, "--samples", samples)
    asked = choose(Method, method, "--method")
    erasing, only_hf = erased.erasing(), None
    if asked in GUIDED or asked is Method.BEAM:
        only_hf = f"--method {method} computes with the model itself"
    elif erasing is not None:
        only_hf = "the signal that erases is read of the model itself"
    elif rule == "confidence":
        only_hf = "--rule confidence reads the probability of an edit"
    if out is not None:
        make_folder(out.parent)  # before the model is looked at: a file that cannot be written
    sampling = with_engine(sampling, model, quiet=quiet, only_hf=only_hf)
    job = SearchJob(
        model=model,
        data=data,
        method=asked,
        n=samples,
        rounds=rounds,
        budget=budget,
        rule=None if rule is None else choose(Rule, rule, "--rule"),
        verifier=verifier,
        verifier_says=choose(Says, verifier_says, "--verifier-says"),
        ban_edits=ban_edits,
        tabu=Tabu.of(tabu),
        oracle=oracle,
        limit=limit,
        seed=sampling.seed,
        backend=choose(Backend, sampling.backend, "--backend"),
        reward_function=reward_function,
        trust_remote_code=sampling.trust_remote_code,
        apply_chat_template_kwargs=sampling.template_kwargs,
        guidance=guided.guidance(),
        erasing=erasing,
        request=request,
        **sampling.space_settings,
    )
    part, progress = problems_together(sampling.backend, samples), progress_unless(quiet)
    if out is None:
        with TemporaryDirectory() as folder:
            answers = answer(job, Path(folder) / "answers", part, progress, visited=False)
    else:
        with whole_file(out) as partial:
            answers = answer(job, out.with_name(f".{out.name}.answers"), part, progress)
            with partial.open("w", encoding="utf-8") as file:
                file.writelines(lines(job, answers))
    report(answers, title(job))
    if (warning := erasure_warning(job, answers)) is not None:
        typer.echo(f"Warning: {warning}", err=True)
    if out is not None and not quiet:
        typer.echo(f"Answers in {out}")
