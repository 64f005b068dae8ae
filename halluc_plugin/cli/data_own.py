"""``halluc data inject | align | correct | verdicts``: raw traces of any data set, own mistakes included."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import (
    Backend,
    Delimiter,
    Edits,
    Json,
    Limit,
    MaxTokens,
    Model,
    RewardFunction,
    Samples,
    Seed,
    Temperature,
    TemplateKwargs,
    TrustRemoteCode,
    Workers,
    problems_together,
)
from halluc_plugin.cli.help import examples
from halluc_plugin.commands import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc_plugin.data.reference_traces import Writing
    from halluc_plugin.search.states import Space

Data = Annotated[Path, typer.Option(help="Problems: a file of verl's rows, parquet, .json or .jsonl.")]
Answers = Annotated[
    Path, typer.Option("--data", help="A file of verl's rows, with reference answers in extra_info.answer.")
]
TraceFile = Annotated[Path, typer.Option(help="Trace file to write; its card goes beside it.")]
Marker = Annotated[
    str | None,
    typer.Option(
        help='Words that take back instead of edit tokens, such as " Wait, that is wrong. ".',
        show_default="edit tokens",
    ),
]

OWN_EXAMPLES = {
    "inject": examples(
        "halluc data inject --data gsm8k/train.parquet --tokenizer my-model --out injected.parquet"
    ),
    "align": examples(
        "halluc data align --data gsm8k/train.parquet --model my-model --samples 4 --max-tokens 512 "
        "--out aligned.parquet"
    ),
    "correct": examples(
        "halluc data correct --data gsm8k/train.parquet --model my-model --samples 8 --max-tokens 512 "
        "--context hard --out own"
    ),
    "verdicts": examples(
        "halluc data verdicts --data gsm8k/train.parquet --model my-model --samples 8 --out verdicts.parquet"
    ),
}


def inject(
    data: Answers,
    tokenizer: Annotated[str, typer.Option(help="Folder or hub name whose ids the traces are in.")],
    out: TraceFile,
    rate: Annotated[float, typer.Option(help="Probability of an error at each position (or step).")] = 0.05,
    lengths: Annotated[str, typer.Option(help="Lengths of errors, each as likely.")] = "1,2,3",
    copies: Annotated[int, typer.Option(help="Backtracking traces of each reference.")] = 1,
    edit: Edits = "token",
    marker: Marker = None,
    step_delimiter: Delimiter = "\n",
    limit: Limit = None,
    seed: Seed = 0,
    workers: Workers = 1,
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
) -> None:
    """Write reference answers, and beside them traces in which random tokens are written and taken back."""
    from halluc_plugin.data.parts import named
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS, template_kwargs
    from halluc_plugin.data.reference_traces import Injected, read_references, text_pool
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.tokens.loading import load_tokenizer
    from halluc_plugin.verifiers.numerals import read

    sizes = [read(size.strip()) for size in lengths.split(",")]
    if not all(sizes) or not 0 < rate <= 1 or copies < 1:
        raise SettingsError(
            f"--lengths {lengths!r}, --rate {rate}, --copies {copies}.",
            "Give lengths such as 1,2,3, a rate above 0, and at least 1 copy.",
        )
    asked = template_kwargs(template)
    known = load_tokenizer(tokenizer, trust_remote_code=trust_remote_code)
    writing = _writing(known, edit, marker, step_delimiter)
    weights = {size: 1.0 for size in sizes if size}
    make = Injected(writing, text_pool(known, writing.vocab), rate, weights, copies, seed)
    described = {"how": "inject", "rate": rate, "lengths": lengths, "copies": copies, "edit": edit}
    described |= {"marker": marker, "data": named(data), "limit": limit, "step_delimiter": step_delimiter}
    described[TEMPLATE_KWARGS] = asked
    references = read_references(data, known, limit, template_kwargs=asked)
    card = _write(out, references, known, make, described, seed, workers=workers)
    tell(card, f"To train on it: {_training(tokenizer, out, out=_trained(out))}", as_json=as_json)


def align(
    data: Answers,
    model: Model,
    out: TraceFile,
    samples: Samples = 4,
    edit: Edits = "token",
    marker: Marker = None,
    temperature: Temperature = 1.0,
    max_tokens: MaxTokens = 256,
    step_delimiter: Delimiter = "\n",
    limit: Limit = None,
    seed: Seed = 0,
    backend: Backend = "hf",
    trust_remote_code: TrustRemoteCode = False,
    template: TemplateKwargs = None,
    as_json: Json = False,
) -> None:
    """Write reference answers, and traces in which the model's own departures from them are taken back."""
    from dataclasses import replace

    from halluc_plugin.data.parts import named
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS, template_kwargs
    from halluc_plugin.data.reference_traces import Aligned, read_references
    from halluc_plugin.search.models import edit_free_space, require_fit
    from halluc_plugin.tokens.loading import load_tokenizer

    asked = template_kwargs(template)
    known = load_tokenizer(model, trust_remote_code=trust_remote_code)
    references = read_references(data, known, limit, template_kwargs=asked)  # before a model is loaded
    space = edit_free_space(
        model, known, step_delimiter=step_delimiter, max_tokens=max_tokens, temperature=temperature
    )
    require_fit(
        model,
        [reference.prompt for reference in references],
        space,
        trust_remote_code=trust_remote_code,
    )
    writing = replace(_writing(known, edit, marker, step_delimiter), eos_ids=space.eos_ids)
    sampler = _sampler(model, backend, space, seed, trust_remote_code)
    make = Aligned(writing, sampler, space, samples, seed)
    described = {"how": "align", "model": model, "samples": samples, "edit": edit, "marker": marker}
    described |= {"temperature": temperature, "max_tokens": max_tokens, "data": named(data), "limit": limit}
    described |= {"step_delimiter": step_delimiter, "backend": backend, TEMPLATE_KWARGS: asked}
    card = _write(out, references, known, make, described, seed, part=problems_together(backend, samples))
    tell(card, f"To train on it: {_training(model, out, out=_trained(out))}", as_json=as_json)


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
    from halluc_plugin.data.correction_files import KINDS, CorrectionRequest, write_corrections
    from halluc_plugin.data.corrections import CorrectionSettings, Depth
    from halluc_plugin.data.prompts import template_kwargs
    from halluc_plugin.prepare import show_progress
    from halluc_plugin.search.models import edit_free_space, require_fit
    from halluc_plugin.search.problems import read_problems
    from halluc_plugin.settings import Context, choose
    from halluc_plugin.tokens.loading import load_tokenizer

    known = load_tokenizer(model, trust_remote_code=trust_remote_code)
    settings = CorrectionSettings(
        samples,
        choose(Depth, depth, "--depth"),
        choose(Context, context, "--context"),
        _marker_ids(known, marker),
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
    sampler = _sampler(model, backend, space, seed, trust_remote_code)
    card = write_corrections(out, request, sampler, known, show_progress)
    files = [file for kind in KINDS if (file := out / f"{kind}.parquet").exists()]
    tell(card, f"To train on it: {_training(model, *files, out=_trained(out))}", as_json=as_json)


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
    from halluc_plugin.data.parts import named, named_function
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS, template_kwargs
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.search.job import Method, SearchJob, space_of
    from halluc_plugin.search.models import Backend, open_sampler, require_fit
    from halluc_plugin.search.problems import read_problems
    from halluc_plugin.search.verdicts import RIGHT, WRONG, Verdicts, verdict_id
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
    card = _write(out, problems, known, make, described, seed, part=part, of="problems")
    verifier = _trained(out)
    search = ("halluc", "search", "--model", model, "--data", data, "--method", "sample")
    tell(
        card,
        f"To train a verifier on it: {_training(model, out, out=verifier)}",
        "To answer with it: "
        + shell(*search, "--rule", "verifier", "--verifier", verifier, "--verifier-says", "verdict"),
        as_json=as_json,
    )


def _writing(tokenizer: Any, edit: str, marker: str | None, delimiter: str) -> "Writing":
    from halluc_plugin.data.raw_traces import Edit
    from halluc_plugin.data.reference_traces import Writing
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens import edit_vocab
    from halluc_plugin.training.dataset import vocab_of

    # Words take back without any token; a tokenizer may have none then.
    vocab = (edit_vocab if marker is None else vocab_of)(tokenizer, step_delimiter=delimiter)
    eos = frozenset({int(tokenizer.eos_token_id)})
    return Writing(vocab, eos, choose(Edit, edit, "--edit"), _marker_ids(tokenizer, marker))


def _marker_ids(tokenizer: Any, marker: str | None) -> tuple[int, ...] | None:
    return None if marker is None else tuple(tokenizer.encode(marker, add_special_tokens=False))


def _sampler(model: str, backend: str, space: "Space", seed: int, trust_remote_code: bool) -> Any:
    from halluc_plugin.search.models import Backend, open_sampler
    from halluc_plugin.settings import choose

    engine = choose(Backend, backend, "--backend")
    return open_sampler(model, engine, space, seed, trust_remote_code=trust_remote_code)


def _write(
    out: Path,
    asked: "Sequence[Any]",
    tokenizer: Any,
    make: Any,
    described: dict[str, Any],
    seed: int,
    *,
    part: int = 256,
    workers: int = 1,
    of: str = "references",
) -> Path:
    """Write the file and its card; an interrupted command goes on behind the last whole part."""
    from halluc_plugin.data.parts import PartedFile, named_model
    from halluc_plugin.data.problem_files import write_card
    from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
    from halluc_plugin.prepare import show_progress

    metadata = {"seed": seed, FINGERPRINT: fingerprint(tokenizer)}
    decides = {**metadata, **described}
    if "model" in described:
        decides["model"] = named_model(described["model"])
    file: PartedFile[Any] = PartedFile(out, make, decides, metadata, part)
    count, tally = file.write(asked, workers, progress=show_progress, what=of)
    card = out.with_suffix(".card.json")
    write_card(card, {"count": count, of: len(asked), **metadata, **tally, "request": described})
    return card


def _training(model: str, *files: Path, out: Path) -> str:
    data = [word for file in files for word in ("--data", file)]
    return shell("halluc", "train", "--model", model, *data, "--out", out)


def _trained(out: Path) -> Path:
    """Where the model goes in the command that is printed."""
    return out.with_name(f"{out.stem}-trained")
