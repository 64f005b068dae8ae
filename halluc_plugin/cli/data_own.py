"""``halluc data correct | verdicts``: a model's own answers, judged, as raw traces."""

from pathlib import Path
from typing import Annotated

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import (
    Backend,
    Delimiter,
    Json,
    Limit,
    Marker,
    MaxTokens,
    Model,
    RewardFunction,
    Samples,
    Seed,
    Temperature,
    TemplateKwargs,
    TraceFile,
    TrustRemoteCode,
    problems_together,
)
from halluc_plugin.cli.data_output import marker_ids, open_engine, train_command, trained_folder, write_file
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
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = 256,
    step_delimiter: Delimiter = "\n",
    limit: Limit = None,
    seed: Seed = 0,
    backend: Backend = "hf",
    reward_function: RewardFunction = None,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
) -> None:
    """Write a model's right answers, and its wrong ones taken back and followed by a right one (verified)."""
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.edits import Context
    from halluc_plugin.jobs.samplers import edit_free_space, require_fit
    from halluc_plugin.own_errors.correction_files import KINDS, CorrectionRequest, write_corrections
    from halluc_plugin.own_errors.corrections import CorrectionSettings, Depth
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.sampling.problems import read_problems
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    known = load_tokenizer(model, trust_remote_code=trust_remote_code)
    settings = CorrectionSettings(
        samples,
        choose(Depth, depth, "--depth"),
        choose(Context, context, "--context"),
        marker_ids(known, marker),
        most,
    )
    asked = template_kwargs(template)
    # Before a model is loaded.
    problems = read_problems(data, known, limit, reward_function=reward_function, template_kwargs=asked)
    space = edit_free_space(
        model, known, step_delimiter=step_delimiter, max_tokens=max_tokens, temperature=temperature
    )
    require_fit(
        model,
        [problem.prompt for problem in problems],
        space,
        max_tokens=settings.most_tokens(max_tokens),
        trust_remote_code=trust_remote_code,
    )
    part = problems_together(backend, samples)
    request = CorrectionRequest(model, data, settings, space, seed, limit, reward_function, part, asked)
    sampler = open_engine(model, backend, space, seed, trust_remote_code)
    card = write_corrections(out, request, sampler, known, show_progress)
    files = [file for kind in KINDS if (file := out / f"{kind}.parquet").exists()]
    tell(card, f"To train on it: {train_command(model, *files, out=trained_folder(out))}", as_json=as_json)


def verdicts(
    data: Data,
    model: Model,
    out: TraceFile,
    samples: Samples = 8,
    ban_edits: Annotated[
        bool, typer.Option("--ban-edits", help="The model is not allowed to backtrack.")
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
    as_json: Json = False,
) -> None:
    """Write a model's answers, each with whether it is right: what a verifier model is trained on."""
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS, template_kwargs
    from halluc_plugin.data.resumable import named, named_function
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.jobs.samplers import Backend, open_sampler, require_fit
    from halluc_plugin.jobs.search import Method, SearchJob, space_of
    from halluc_plugin.sampling.problems import read_problems
    from halluc_plugin.scorers.verdicts import RIGHT, WRONG, Verdicts, verdict_id
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    if samples < 1 or not temperature > 0:
        raise SettingsError(
            f"--samples {samples}, --temperature {temperature}.",
            "Give at least 1, and a temperature above 0.",
        )
    job = SearchJob(
        model, data, Method.SAMPLE, samples, ban_edits=ban_edits, temperature=temperature,
        max_tokens=max_tokens, step_delimiter=step_delimiter, limit=limit, seed=seed,
        backend=choose(Backend, backend, "--backend"),
    )  # fmt: skip
    known = load_tokenizer(model, trust_remote_code=trust_remote_code)
    for text in (RIGHT, WRONG):
        verdict_id(known, text)
    # Before a model is loaded.
    asked = template_kwargs(template)
    problems = read_problems(data, known, limit, reward_function=reward_function, template_kwargs=asked)
    space = space_of(job, known)
    require_fit(model, [problem.prompt for problem in problems], space, trust_remote_code=trust_remote_code)
    sampler = open_sampler(model, job.backend, space, seed, trust_remote_code=trust_remote_code)
    make = Verdicts(sampler, space, known, samples, seed)
    described = {"how": "verdicts", "model": model, "samples": samples, "ban_edits": ban_edits}
    described |= {"temperature": temperature, "max_tokens": max_tokens, "data": named(data), "limit": limit}
    described |= {"step_delimiter": step_delimiter, "backend": backend}
    described |= {"reward_function": named_function(reward_function), TEMPLATE_KWARGS: asked}
    part = problems_together(backend, samples)
    card = write_file(out, problems, known, make, described, seed, part=part, of="problems")
    verifier = trained_folder(out)
    search = ("halluc", "search", "--model", model, "--data", data, "--method", "sample")
    tell(
        card,
        f"To train a verifier on it: {train_command(model, out, out=verifier)}",
        "To answer with it: "
        + shell(*search, "--rule", "verifier", "--verifier", verifier, "--verifier-says", "verdict"),
        as_json=as_json,
    )
