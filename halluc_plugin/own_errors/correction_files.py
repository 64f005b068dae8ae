"""Write the files of verified wrong-to-right data.

<folder>/right.parquet       right answers
<folder>/corrected.parquet   wrong answers, each taken back and followed by a right one
<folder>/card.json           counts, seeds, shares
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import (
    checked_rows,
    common_schema,
    read_rows_in_groups,
    storable,
    write_parquet,
)
from halluc_plugin.data.prompts import TEMPLATE_KWARGS
from halluc_plugin.data.resumable import PartedFile, Progress, Row, named, named_function, named_model
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
from halluc_plugin.errors import DataError
from halluc_plugin.own_errors.corrections import CorrectionSettings, collect
from halluc_plugin.problem_sets.files import write_card
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Space

KINDS = ("right", "corrected")

Asked = tuple[Mapping[str, Any], PosedProblem]


@dataclass(frozen=True)
class CorrectionRequest:
    """The settings of files of corrections.

    Attributes:
        model: Name of the model that answers.
        data: File of problems.
        settings: How to sample, and what to keep.
        space: The space in which answers are sampled; edits are banned there.
        seed: Seed of the samples, if the sampler can be seeded.
        limit: Number of problems, from the first; None for all.
        reward_function: Place of a scoring function that judges answers; None for the source's verifier.
        problems_per_part: Number of problems that are sampled together. An interrupted run keeps the parts
            that it completed.
        template_kwargs: Further arguments of the model's chat template.
    """

    model: str
    data: Path
    settings: CorrectionSettings
    space: Space
    seed: int = 0
    limit: int | None = None
    reward_function: str | None = None
    problems_per_part: int = 256
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def problems(self, tokenizer: Any) -> list[PosedProblem]:
        """Return the problems, each with its verifier.

        Args:
            tokenizer: The tokenizer that encodes the prompts.

        Raises:
            DataError: The file is refused by :func:`halluc_plugin.sampling.problems.read_problems`.
        """
        return read_problems(
            self.data,
            tokenizer,
            self.limit,
            reward_function=self.reward_function,
            template_kwargs=self.template_kwargs,
        )


def write_corrections(
    folder: Path, request: CorrectionRequest, sampler: Sampler, tokenizer: Any, progress: Progress
) -> Path:
    """Sample answers, take the wrong ones back, sample again, and write what the verifier accepts.

    An interrupted run is resumed.

    Args:
        folder: The folder to write to.
        request: The settings of the files.
        sampler: The model that is sampled.
        tokenizer: The model's tokenizer.
        progress: Shows the progress.

    Returns:
        The path of the data card. A kind of rows of which there are none has no file.

    Raises:
        DataError: A row has no verifier, its verifier cannot judge what is asked, or no answer was right.
    """
    problems = request.problems(tokenizer)
    rows = storable(checked_rows(request.data, truth_fault=None)[: request.limit])
    asked: list[Asked] = list(zip(rows, problems, strict=True))
    metadata = {"seed": request.seed, FINGERPRINT: fingerprint(tokenizer)}
    described = {
        **metadata,
        "model": named_model(request.model),
        "data": named(request.data),
        "settings": repr(request),
    }
    described["reward_function"] = named_function(request.reward_function)
    make = _Made(request, sampler, tokenizer)
    whole = folder / ".collected.parquet"
    file: PartedFile[Asked] = PartedFile(
        whole, make, described, metadata, request.problems_per_part, may_be_empty=True
    )
    _, tally = file.write(asked, progress=progress, what="problems answered", keep_parts=True)
    if not any(tally.get(kind) for kind in KINDS):
        whole.unlink()
        file.discard_parts()
        raise DataError(
            f"{request.model} answered none of {len(rows)} problems right.",
            "Use a model that solves some of them, sample more answers, or allow longer ones.",
        )
    schema = common_schema([whole])
    schema = schema.remove(schema.names.index("kind"))
    for kind in KINDS:
        (folder / f"{kind}.parquet").unlink(missing_ok=True)  # of an earlier run
        if tally.get(kind):
            kept = (_without(row, "kind") for row in read_rows_in_groups(whole) if row["kind"] == kind)
            write_parquet(folder / f"{kind}.parquet", kept, metadata, schema=schema)
    card = folder / "card.json"
    counts = {what: tally.get(what, 0) for what in ("answers", "wrong", *KINDS)}
    settings = asdict(request.settings) | {
        "temperature": request.space.temperature,
        "max_tokens": request.space.max_tokens,
    }
    write_card(
        card,
        {"model": request.model, "data": request.data.name, "problems": len(rows), **metadata, **counts}
        | {"settings": settings, "reward_function": request.reward_function}
        | ({TEMPLATE_KWARGS: dict(request.template_kwargs)} if request.template_kwargs else {}),
    )
    whole.unlink()
    file.discard_parts()
    return card


@dataclass(frozen=True)
class _Made:
    request: CorrectionRequest
    sampler: Sampler
    tokenizer: Any

    def __call__(self, number: int, asked: Sequence[Asked]) -> tuple[list[Row], Counter[str]]:
        request = self.request
        seed_part(self.sampler, request.seed, number)
        problems = [problem for _, problem in asked]
        collected = collect(problems, self.sampler, request.space, self.tokenizer, request.settings)
        rows, tally = list[Row](), Counter[str]()
        for (row, _), found in zip(asked, collected, strict=True):
            tally.update(answers=found.answers, wrong=found.wrong)
            for kind, traces in zip(KINDS, (found.right, found.corrected), strict=True):
                tally[kind] += len(traces)
                rows += [{**row, **trace.columns(), "kind": kind} for trace in traces]
        return rows, tally


def _without(row: Row, column: str) -> Row:
    return {name: value for name, value in row.items() if name != column}
