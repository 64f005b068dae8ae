"""The commands ``halluc data correct | verdicts``: a model's own judged answers as raw traces."""

from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import (
    Json,
    Limit,
    Marker,
    Model,
    Quiet,
    RewardFunction,
    Samples,
    Sampling,
    TraceFile,
    problems_together,
)
from halluc_plugin.cli.data_output import (
    marker_ids,
    open_engine,
    progress_unless,
    train_command,
    trained_folder,
    with_engine,
    write_file,
)
from halluc_plugin.cli.help import examples
from halluc_plugin.commands import shell

Data = Annotated[Path, typer.Option(help="Problems: a file of verl's rows, parquet, .json or .jsonl.")]

OWN_EXAMPLES = {
    "correct": examples(
        "halluc data correct --data gsm8k/train.parquet --model my-model --samples 8 --max-tokens 512 "
        "--context hard --out own"
    ),
    "verdicts": examples(
        "halluc data verdicts --data gsm8k/train.parquet --model my-model --samples 8 --out verdicts.parquet"
    ),
}


def correct(
    data: Data,
    model: Model,
    out: Annotated[Path, typer.Option(help="Folder for right.parquet, corrected.parquet and the card.")],
    samples: Samples = 8,
    most: Annotated[int, typer.Option(help="Most right answers, and corrections, kept of a problem.")] = 4,
    depth: Annotated[
        choices.Depths,
        typer.Option(help="Take back the whole answer, or from the first error (needs a prefix verifier)."),
    ] = "answer",
    context: Annotated[
        choices.Contexts,
        typer.Option(help="Sampling again, the model sees all (soft) or what is left (hard)."),
    ] = "soft",
    marker: Marker = None,
    limit: Limit = None,
    reward_function: RewardFunction = None,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a model's right answers, and its wrong ones taken back and followed by a right one (verified)."""
    from halluc_plugin.edits import Context
    from halluc_plugin.jobs.samplers import edit_free_space, require_fit
    from halluc_plugin.own_errors.correction_files import KINDS, CorrectionRequest, write_corrections
    from halluc_plugin.own_errors.corrections import CorrectionSettings, Depth
    from halluc_plugin.sampling.problems import read_problems
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    trust = sampling.trust_remote_code
    known = load_tokenizer(model, trust_remote_code=trust)
    sampling = with_engine(sampling, model, quiet=quiet)
    settings = CorrectionSettings(
        samples,
        choose(Depth, depth, "--depth"),
        choose(Context, context, "--context"),
        marker_ids(known, marker),
        most,
    )
    asked = sampling.template_kwargs
    # Before a model is loaded.
    problems = read_problems(data, known, limit, reward_function=reward_function, template_kwargs=asked)
    space = edit_free_space(model, known, **sampling.space_settings)
    prompts = [problem.prompt for problem in problems]
    longest = settings.most_tokens(sampling.max_tokens)
    require_fit(model, prompts, space, max_tokens=longest, trust_remote_code=trust)
    part, seed = problems_together(sampling.backend, samples), sampling.seed
    request = CorrectionRequest(model, data, settings, space, seed, limit, reward_function, part, asked)
    card = write_corrections(out, request, open_engine(model, space, sampling), known, progress_unless(quiet))
    files = [file for kind in KINDS if (file := out / f"{kind}.parquet").exists()]
    tell(
        card,
        f"To train on it: {train_command(model, *files, out=trained_folder(out))}",
        as_json=as_json,
        quiet=quiet,
    )


def verdicts(
    data: Data,
    model: Model,
    out: TraceFile,
    samples: Samples = 8,
    ban_edits: Annotated[
        bool, typer.Option("--ban-edits", help="The model is not allowed to backtrack.")
    ] = False,
    limit: Limit = None,
    reward_function: RewardFunction = None,
    sampling: Sampling = Sampling(temperature=0.7),  # noqa: B008 - frozen
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a model's answers, each with whether it is right: what a verifier model is trained on."""
    from halluc_plugin.data.resumable import named, named_function
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.jobs.samplers import Backend, require_fit
    from halluc_plugin.jobs.search import Method, SearchJob, space_of
    from halluc_plugin.sampling.problems import read_problems
    from halluc_plugin.scorers.verdicts import RIGHT, WRONG, Verdicts, verdict_id
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    if not sampling.temperature > 0:
        raise SettingsError(f"--temperature {sampling.temperature}.", "Give one above 0.")
    sampling = with_engine(sampling, model, quiet=quiet)
    job = SearchJob(
        model, data, Method.SAMPLE, samples, ban_edits=ban_edits, limit=limit, seed=sampling.seed,
        backend=choose(Backend, sampling.backend, "--backend"), **sampling.space_settings,
    )  # fmt: skip
    trust = sampling.trust_remote_code
    known = load_tokenizer(model, trust_remote_code=trust)
    for text in (RIGHT, WRONG):
        verdict_id(known, text)
    # Before a model is loaded.
    asked = sampling.template_kwargs
    problems = read_problems(data, known, limit, reward_function=reward_function, template_kwargs=asked)
    space = space_of(job, known)
    require_fit(model, [problem.prompt for problem in problems], space, trust_remote_code=trust)
    make = Verdicts(open_engine(model, space, sampling), space, known, samples, sampling.seed)
    described = {"how": "verdicts", "model": model, "samples": samples, "ban_edits": ban_edits}
    described |= {"data": named(data), "limit": limit, **sampling.described}
    described["reward_function"] = named_function(reward_function)
    part = problems_together(sampling.backend, samples)
    card = write_file(
        out, problems, known, make, described, sampling.seed, part=part, of="problems", quiet=quiet
    )
    verifier = trained_folder(out)
    search = ("halluc", "search", "--model", model, "--data", data, "--method", "sample")
    tell(
        card,
        f"To train a verifier on it: {train_command(model, out, out=verifier)}",
        "To answer with it: "
        + shell(*search, "--rule", "verifier", "--verifier", verifier, "--verifier-says", "verdict"),
        as_json=as_json,
        quiet=quiet,
    )
