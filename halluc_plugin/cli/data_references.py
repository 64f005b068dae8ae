"""The commands ``halluc data inject | align``: raw traces of any data set with reference answers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import (
    Delimiter,
    Edits,
    Json,
    Limit,
    Marker,
    Model,
    OldRate,
    Quiet,
    Samples,
    Sampling,
    Seed,
    TemplateKwargs,
    TraceFile,
    TrustRemoteCode,
    Workers,
    problems_together,
)
from halluc_plugin.cli.data_output import (
    marker_ids,
    open_engine,
    train_command,
    trained_folder,
    with_engine,
    write_file,
)
from halluc_plugin.cli.help import examples, renamed

if TYPE_CHECKING:
    from halluc_plugin.problem_sets.references import Writing

Answers = Annotated[
    Path, typer.Option("--data", help="A file of verl's rows, with reference answers in extra_info.answer.")
]

REFERENCE_EXAMPLES = {
    "inject": examples(
        "halluc data inject --data gsm8k/train.parquet --tokenizer my-model --out injected.parquet"
    ),
    "align": examples(
        "halluc data align --data gsm8k/train.parquet --model my-model --samples 4 --max-tokens 512 "
        "--out aligned.parquet"
    ),
}


def inject(
    data: Answers,
    tokenizer: Annotated[str, typer.Option(help="Folder or hub name whose ids the traces are in.")],
    out: TraceFile,
    rate: Annotated[
        float, typer.Option("--error-rate", help="Probability of an error at each position (or step).")
    ] = 0.05,
    old_rate: OldRate = None,
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
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write reference answers, and traces in which random tokens are written and taken back."""
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS, template_kwargs
    from halluc_plugin.data.resumable import named
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.problem_sets.references import Injected, read_references, text_pool
    from halluc_plugin.tokens.loading import load_tokenizer
    from halluc_plugin.verifiers.numerals import read_number

    rate = renamed("--rate", old_rate, "--error-rate", rate)
    sizes = [read_number(size.strip()) for size in lengths.split(",")]
    if not all(sizes) or not 0 < rate <= 1 or copies < 1:
        raise SettingsError(
            f"--lengths {lengths!r}, --error-rate {rate}, --copies {copies}.",
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
    card = write_file(out, references, known, make, described, seed, workers=workers, quiet=quiet)
    train = train_command(tokenizer, out, out=trained_folder(out))
    tell(card, f"To train on it: {train}", as_json=as_json, quiet=quiet)


def align(
    data: Answers,
    model: Model,
    out: TraceFile,
    samples: Samples = 4,
    edit: Edits = "token",
    marker: Marker = None,
    limit: Limit = None,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write reference answers, and traces in which the model's own departures from them are taken back."""
    from dataclasses import replace

    from halluc_plugin.data.resumable import named
    from halluc_plugin.jobs.samplers import edit_free_space, require_fit
    from halluc_plugin.own_errors.aligned import Aligned
    from halluc_plugin.problem_sets.references import read_references
    from halluc_plugin.tokens.loading import load_tokenizer

    known = load_tokenizer(model, trust_remote_code=sampling.trust_remote_code)
    sampling = with_engine(sampling, model, quiet=quiet)
    # Before a model is loaded.
    references = read_references(data, known, limit, template_kwargs=sampling.template_kwargs)
    space = edit_free_space(model, known, **sampling.space_settings)
    prompts = [reference.prompt for reference in references]
    require_fit(model, prompts, space, trust_remote_code=sampling.trust_remote_code)
    writing = replace(_writing(known, edit, marker, sampling.step_delimiter), eos_ids=space.eos_ids)
    make = Aligned(writing, open_engine(model, space, sampling), space, samples, sampling.seed)
    described = {"how": "align", "model": model, "samples": samples, "edit": edit, "marker": marker}
    described |= {"data": named(data), "limit": limit, **sampling.described}
    part = problems_together(sampling.backend, samples)
    card = write_file(out, references, known, make, described, sampling.seed, part=part, quiet=quiet)
    train = train_command(model, out, out=trained_folder(out))
    tell(card, f"To train on it: {train}", as_json=as_json, quiet=quiet)


def _writing(tokenizer: Any, edit: str, marker: str | None, delimiter: str) -> "Writing":
    from halluc_plugin.problem_sets.raw_traces import Edit
    from halluc_plugin.problem_sets.references import Writing
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens import edit_vocab, vocab_of

    # Words take back without any token; a tokenizer may have none then.
    vocab = (edit_vocab if marker is None else vocab_of)(tokenizer, step_delimiter=delimiter)
    eos = frozenset({int(tokenizer.eos_token_id)})
    return Writing(vocab, eos, choose(Edit, edit, "--edit"), marker_ids(tokenizer, marker))
