"""The command ``halluc data interventions``: one right step where a model's own answer first went wrong."""

from pathlib import Path
from typing import Annotated, Any

import typer

from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import (
    Json,
    Limit,
    Model,
    Quiet,
    Samples,
    Sampling,
    TraceFile,
    problems_together,
)
from halluc_plugin.cli.data_output import open_engine, train_command, trained_folder, with_engine, write_file
from halluc_plugin.cli.help import examples

INTERVENTION_EXAMPLES = {
    "interventions": examples(
        "halluc data interventions --data DATA/word/train.parquet --model my-model --out steps.parquet"
    )
}


def interventions(
    data: Annotated[
        Path, typer.Option(help="Problems: a file of verl's rows whose source has a verifier of prefixes.")
    ],
    model: Model,
    out: TraceFile,
    samples: Samples = 8,
    most: Annotated[int, typer.Option(help="Most traces of a problem.", min=1)] = 4,
    limit: Limit = None,
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a model's wrong answers up to their first error, each with one right step in its place (InT)."""
    from halluc_plugin.data.resumable import named
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.jobs.samplers import policy_space, require_fit
    from halluc_plugin.own_errors.interventions import Interventions, require_prefixes
    from halluc_plugin.sampling.problems import read_problems
    from halluc_plugin.tokens.loading import load_tokenizer

    if not sampling.temperature > 0:
        raise SettingsError("At temperature 0 all samples would be the same.", "Give one above 0.")
    trust = sampling.trust_remote_code
    known = load_tokenizer(model, trust_remote_code=trust)
    problems = read_problems(data, known, limit, template_kwargs=sampling.template_kwargs)
    for problem in problems:  # before a model is loaded
        require_prefixes(problem)
    sampling = with_engine(sampling, model, quiet=quiet)
    space = policy_space(model, known, **sampling.space_settings)
    require_fit(model, [problem.prompt for problem in problems], space, trust_remote_code=trust)
    make = Interventions(open_engine(model, space, sampling), space, known, samples, most, sampling.seed)
    described: dict[str, Any] = {"how": "interventions", "model": model, "samples": samples, "most": most}
    described |= {"data": named(data), "limit": limit, **sampling.described}
    card = write_file(
        out, problems, known, make, described, sampling.seed,
        part=problems_together(sampling.backend, samples), of="problems", quiet=quiet,
        nothing=(
            "No wrong answer had a right step in the place of its first error.",
            "Sample more answers (--samples), or give easier or harder problems.",
        ),
    )  # fmt: skip
    tell(
        card,
        f"To train on it: {train_command(model, out, out=trained_folder(out))}",
        as_json=as_json,
        quiet=quiet,
    )
