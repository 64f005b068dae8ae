"""The commands ``halluc data values | mix | turns``: values of steps for process reward models."""

from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_attempts import Attempts
from halluc_plugin.cli.data_options import (
    Continuations,
    Delimiter,
    Json,
    Limit,
    Model,
    Quiet,
    RewardFunction,
    Samples,
    Sampling,
    Seed,
    TemplateKwargs,
    TrustRemoteCode,
    problems_together,
    weights,
)
from halluc_plugin.cli.data_output import (
    open_engine,
    progress_unless,
    trained_folder,
    with_engine,
    write_file,
)
from halluc_plugin.cli.help import examples, refuse, renamed
from halluc_plugin.commands import shell

Problems = Annotated[
    Path, typer.Option("--data", help="Problems: a file of verl's rows, parquet, .json or .jsonl.")
]
ValueFile = Annotated[Path, typer.Option(help="Value file to write; its card goes beside it.")]
Reader = Annotated[str, typer.Option(help="Folder or hub name of the model that reads the ids.")]

VALUE_EXAMPLES = {
    "values": examples(
        "halluc data values --data DATA/chain/train.parquet --model my-model --samples 4 --out own.parquet",
        "halluc data values --data gsm8k/train.parquet --model my-model --max-tokens 512 --backend vllm "
        "--method binary --labels hard --out own.parquet",
    ),
    "mix": examples(
        "halluc data mix --data own.parquet --data processbench/gsm8k.json --tokenizer my-model --mix 3:1 "
        "--balance --out mixed.parquet"
    ),
    "turns": examples(
        "halluc data turns --data own.parquet --tokenizer my-model --out turns.parquet",
        "halluc data turns --data own.parquet --tokenizer my-model --request '? ' --out attempts.parquet",
        "halluc data turns --data own.parquet --tokenizer my-model --request '? ' "
        "--problems DATA/chain/test.parquet --out asked/chain/test.parquet",
    ),
}


def values(
    data: Problems,
    model: Model,
    out: ValueFile,
    samples: Samples = 4,
    continuations: Continuations = 8,
    method: Annotated[
        choices.Probings,
        typer.Option(
            help="Continue each prefix, or those that a binary search for the first error looks at."
        ),
    ] = "each",
    labels: Annotated[
        choices.Labels,
        typer.Option(help="A value is the share of right continuations, or 1 where any is right."),
    ] = "soft",
    partials: Annotated[
        float, typer.Option(help="Share of the prefixes that are continued, with --method each.")
    ] = 1.0,
    searches: Annotated[
        int | None,
        typer.Option(
            help="Most binary searches of a problem, with --method binary.", show_default="--samples"
        ),
    ] = None,
    limit: Limit = None,
    reward_function: RewardFunction = None,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    old_n: Annotated[int | None, typer.Option("-n", help="Old name of --continuations.", hidden=True)] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a model's answers with a value of each step: how often it is right when it goes on from there."""
    from halluc_plugin.data.resumable import named, named_function
    from halluc_plugin.data.value_files import value_metadata
    from halluc_plugin.jobs.samplers import policy_space, require_fit
    from halluc_plugin.own_errors.step_values import Labels, StepValues, ValueSettings
    from halluc_plugin.sampling.problems import read_problems
    from halluc_plugin.scorers.monte_carlo import Probing, check_continuations
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    continuations = renamed("-n", old_n, "--continuations", continuations)
    settings = ValueSettings(
        samples,
        continuations,
        choose(Labels, labels, "--labels"),
        choose(Probing, method, "--method"),
        partials,
        searches,
    )
    trust = sampling.trust_remote_code
    known = load_tokenizer(model, trust_remote_code=trust)
    sampling = with_engine(sampling, model, quiet=quiet)
    # Before a model is loaded.
    space = policy_space(model, known, **sampling.space_settings)
    check_continuations(continuations, space)
    problems = read_problems(
        data, known, limit, reward_function=reward_function, template_kwargs=sampling.template_kwargs
    )
    prompts = [problem.prompt for problem in problems]
    require_fit(model, prompts, space, trust_remote_code=trust)
    make = StepValues(open_engine(model, space, sampling), space, known, settings, sampling.seed)
    described: dict[str, Any] = {
        "how": "values", "model": model, "samples": samples, "continuations": continuations,
        "method": method, "labels": labels, "partials": partials, "searches": searches,
        "data": named(data), "limit": limit, "reward_function": named_function(reward_function),
        **sampling.described,
    }  # fmt: skip
    card = write_file(
        out, problems, known, make, described, sampling.seed, of="problems", quiet=quiet,
        part=problems_together(sampling.backend, samples),
        metadata=value_metadata(known, sampling.step_delimiter),
    )  # fmt: skip
    mix = ("halluc", "data", "mix", "--data", out, "--tokenizer", model, "--balance")
    balanced = out.with_name(f"{out.stem}-balanced.parquet")
    train = ("halluc", "train", "--model", model, "--data", balanced, "--objective", "value")
    tell(
        card,
        f"As many right as wrong ones: {shell(*mix, '--out', balanced)}",
        f"To train a scorer on these: {shell(*train, '--out', trained_folder(out))}",
        as_json=as_json,
        quiet=quiet,
    )


def mix(
    data: Annotated[
        list[Path],
        typer.Option(help="Value files, or ProcessBench's and PRM800K's own (.json, .jsonl); given again."),
    ],
    tokenizer: Reader,
    out: ValueFile,
    weighed: Annotated[
        str | None,
        typer.Option(
            "--mix", help="Rows of each file, such as 3:1; all are drawn once.", show_default="all rows"
        ),
    ] = None,
    balance: Annotated[
        bool, typer.Option("--balance", help="As many right as wrong responses; the surplus is left out.")
    ] = False,
    step_delimiter: Delimiter = "\n",
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one value file from several, published ones too; mixed by shares, and balanced."""
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.data.value_sets import balanced, mixed, read_any
    from halluc_plugin.tokens.loading import load_tokenizer

    known = load_tokenizer(tokenizer, trust_remote_code=trust_remote_code)
    asked = template_kwargs(template)
    files = progress_unless(quiet)(data, "files read", len(data))
    parts = [read_any(path, known, step_delimiter=step_delimiter, template_kwargs=asked) for path in files]
    rows = [row for part in parts for row in part]
    if weighed is not None:
        rows = mixed(parts, weights(weighed, len(parts)), seed)
    if balance:
        rows = balanced(rows, seed, ", ".join(map(str, data)))
    request = {"data": list(map(str, data)), "mix": weighed, "balance": balance}
    _write(out, rows, known, step_delimiter, seed, request, as_json=as_json, quiet=quiet)


def turns(
    data: Annotated[Path, typer.Option(help="A value file with several answers to each problem.")],
    tokenizer: Reader,
    out: ValueFile,
    revisions: Annotated[int, typer.Option(help="Most revisions of a trajectory.")] = 4,
    trajectories: Annotated[int, typer.Option(help="Most trajectories, or traces, of a problem.")] = 100,
    discount: Annotated[float, typer.Option(help="Discount of each later step, in [0, 1].")] = 1.0,
    returns: Annotated[
        choices.Returns,
        typer.Option(help="Returns of later turns: averaged with this one's, added up to 1, or left out."),
    ] = "normalised",
    request: Annotated[
        str | None,
        typer.Option(
            help="Write traces of two attempts to fine-tune on instead, with this text between them, as the "
            "chat template writes it behind the end of the first.",
            metavar="TEXT",
            show_default="none, a value file",
        ),
    ] = None,
    problems: Annotated[
        Path | None,
        typer.Option(
            help="With --request: write the problems of this file for lm-eval, each with its first answer "
            "and the text, which a second attempt follows.",
            show_default="none, traces",
        ),
    ] = None,
    seed: Seed = 0,
    trust_remote_code: TrustRemoteCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write answers as revisions of one another: for a scorer that sees earlier attempts, or as traces."""
    from halluc_plugin.data.value_files import read_delimiter, read_values
    from halluc_plugin.data.value_turns import Returns, turn_rows
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    known = load_tokenizer(tokenizer, trust_remote_code=trust_remote_code)
    given = read_values(data, known)
    if request is not None:
        refused = {
            "revisions": revisions != 4,
            "discount": discount != 1.0,
            "returns": returns != "normalised",
        }
        refuse({k: v or None for k, v in refused.items()}, "with --request", "Leave it out.")
        attempts = Attempts(data, given, tokenizer, known, request, out, as_json, quiet)
        if problems is None:
            attempts.traces(trajectories, seed)
        else:
            attempts.questions(problems)
        return
    refuse({"problems": problems}, "without --request", "Give the text between two attempts.")
    delimiter = read_delimiter(data)
    kind = choose(Returns, returns, "--returns")
    rows = turn_rows(
        given, known, step_delimiter=delimiter, revisions=revisions, trajectories=trajectories,
        discount=discount, returns=kind, seed=seed, progress=progress_unless(quiet),
    )  # fmt: skip
    asked = {"data": str(data), "revisions": revisions, "trajectories": trajectories}
    asked |= {"discount": discount, "returns": returns}
    _write(out, rows, known, delimiter, seed, asked, as_json=as_json, quiet=quiet)


def _write(
    out: Path,
    rows: list[Any],
    tokenizer: Any,
    delimiter: str,
    seed: int,
    request: dict[str, Any],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    from halluc_plugin.data.value_files import value_metadata, write_values
    from halluc_plugin.problem_sets.files import write_card

    write_values(out, rows, tokenizer, step_delimiter=delimiter)
    right = sum(row.correct for row in rows)
    counts = {"count": len(rows), "right": right, "wrong": len(rows) - right}
    card = out.with_suffix(".card.json")
    write_card(card, {**counts, "seed": seed, **value_metadata(tokenizer, delimiter), "request": request})
    tell(card, as_json=as_json, quiet=quiet)
