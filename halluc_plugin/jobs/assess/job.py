"""Carry out an assessment in parts, and keep it with its date and hash."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.data.parquet import read_rows_in_groups
from halluc_plugin.data.resumable import PartedFile, Progress, named, named_model
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.jobs.assess.advice import advice
from halluc_plugin.jobs.assess.measures import Measured, measure
from halluc_plugin.jobs.assess.plot import draw
from halluc_plugin.jobs.assess.predictions import Prediction, plain_success, predict
from halluc_plugin.jobs.assess.records import ProblemRecord
from halluc_plugin.jobs.assess.sampling import RECORD, Records, question_ids
from halluc_plugin.jobs.assess.signals import Signals, signals_of
from halluc_plugin.jobs.assess.steps import Cutter, judge_of
from halluc_plugin.jobs.samplers import Backend, answer_ends, open_sampler, require_fit
from halluc_plugin.metrics.intervals import wilson
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape, load_network
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.sampling.states import Space

ASSESSMENT, PICTURE, RECORDS = "assessment.json", "assessment.png", "records.parquet"
HASH = "sha256"
QUESTION = "\nCan a right answer still begin so? 1 for yes, 0 for no: "


@dataclass(frozen=True)
class AssessJob:
    """The settings of an assessment.

    Args:
        model: Model folder or hub name, before any training on edits.
        data: File of problems whose verifier judges steps.
        out: Folder for the assessment, its figure and the records.
        samples: Number of answers to each problem.
        edits: Largest number of times that a predicted policy takes back in one answer.
        margin: Widest half of an accuracy's 95 % interval that is accepted, in (0, 1).
        verdict_prompt: Text after an answer that asks for ``1`` or ``0``.
        temperature: Sampling temperature.
        max_tokens: Largest number of tokens of an answer.
        step_delimiter: Text that ends a step.
        limit: Number of problems to read, from the first; None for all.
        seed: Seed of all samples.
        backend: The engine that samples; signals are always read by transformers.
        trust_remote_code: Whether code that comes with the model may run.
        apply_chat_template_kwargs: Further arguments of the model's chat template.

    Raises:
        SettingsError: A value is out of range.
    """

    model: str
    data: Path
    out: Path
    samples: int = 16
    edits: int = 8
    margin: float = 0.1
    verdict_prompt: str = QUESTION
    temperature: float = 1.0
    max_tokens: int = 256
    step_delimiter: str = "\n"
    limit: int | None = 200
    seed: int = 0
    backend: Backend = Backend.HF
    trust_remote_code: bool = False
    apply_chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.samples < 2 or self.edits < 1 or (self.limit is not None and self.limit < 1):
            raise SettingsError(
                f"--samples is {self.samples}, --edits {self.edits}, --limit {self.limit}.",
                "Give at least 2 samples, 1 edit and 1 problem.",
            )
        if not self.temperature > 0:
            raise SettingsError("At temperature 0 all answers would be the same.", "Give one above 0.")
        if not 0 < self.margin < 1:
            raise SettingsError(f"--margin is {self.margin}.", "Give a share above 0 and below 1.")

    def described(self) -> dict[str, Any]:
        """Return a JSON-able description of everything that decides the assessment."""
        asked = {name: value for name, value in asdict(self).items() if name != "out"}
        return asked | {"model": named_model(self.model), "data": named(self.data)}


@dataclass(frozen=True)
class Assessment:
    """The measurements, predictions and advice of an assessment.

    Attributes:
        date: Time of the assessment in UTC, ISO 8601.
        asked: The description of the job.
        measured: The measurements of the model as it is.
        plain: P(right) of one answer by its step rates alone, to be compared with the measured accuracy.
        signals: The signals that tell dead from live texts.
        predictions: The predictions of the search law.
        advice: The five lines of advice.
    """

    date: str
    asked: Mapping[str, Any]
    measured: Measured
    plain: float
    signals: Signals
    predictions: list[Prediction]
    advice: list[str]


def assess(job: AssessJob, part: int, progress: Progress) -> Assessment:
    """Assess a model; an interrupted assessment with the same settings is resumed.

    Args:
        job: The settings of the assessment.
        part: Number of problems that are sampled and kept together.
        progress: Shows the progress.

    Raises:
        SettingsError: The folder holds an assessment already, the problems are too few for the margin, or the
            model has too few positions for the answers.
        DataError: A row's verifier does not judge steps, or the model is always or never right.
        TokenizerError: The model cannot be loaded, or a token holds the end of a step and more.
    """
    from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
    from halluc_plugin.tokens.loading import load_config, load_tokenizer

    _require_room(job.out)
    trust = job.trust_remote_code
    tokenizer = load_tokenizer(job.model, trust_remote_code=trust)
    edits = BACKTRACK_TOKEN in tokenizer.get_vocab()
    vocab = vocab_of(tokenizer, step_delimiter=job.step_delimiter)
    space = Space(
        vocab, answer_ends(job.model, tokenizer),
        find_delimiters(tokenizer, job.step_delimiter, edit_ids=vocab.edit_ids),
        job.max_tokens, job.temperature, edits_banned=edits,
    )  # fmt: skip
    problems = read_problems(job.data, tokenizer, job.limit, template_kwargs=job.apply_chat_template_kwargs)
    _require_margin(len(problems), job.margin)
    cutter = Cutter(tokenizer, space, job.step_delimiter)
    for problem in problems:
        judge_of(problem, cutter)
    question = question_ids(tokenizer, job.verdict_prompt)
    longest = job.max_tokens + len(question or ())
    prompts = [problem.prompt for problem in problems]
    require_fit(job.model, prompts, space, max_tokens=longest, trust_remote_code=trust)
    shape = decoder_shape(load_config(job.model, trust_remote_code=trust))
    file = _file(job, cutter, question, part=part, edits=edits)
    file.write(problems, progress=progress, what="problems assessed", keep_parts=True)
    records = [ProblemRecord.of(row[RECORD]) for row in read_rows_in_groups(file.path)]
    measured = measure(records)
    signals = signals_of(records, len(measured.steps), edits=edits, verdicts=question is not None)
    predictions = predict(measured, signals.best, job.edits, shape)
    source = problems[0].verifier.data_sources[0]
    found = Assessment(
        datetime.now(UTC).isoformat(timespec="seconds"), job.described(), measured, plain_success(measured),
        signals, predictions, advice(measured, signals, predictions, source),
    )  # fmt: skip
    draw(measured, signals, predictions, job.out / PICTURE)
    write_assessment(found, job.out / ASSESSMENT)
    file.discard_parts()
    return found


def _file(
    job: AssessJob, cutter: Cutter, question: list[int] | None, *, part: int, edits: bool
) -> PartedFile[PosedProblem]:
    """The file of records, to be written by the model."""
    trust = job.trust_remote_code
    network = load_network(job.model, trust_remote_code=trust)
    if job.backend is Backend.HF:
        sampler: Any = HFSampler(network, cutter.space, seed=job.seed)
    else:
        sampler = open_sampler(job.model, job.backend, cutter.space, job.seed, trust_remote_code=trust)
    make = Records(sampler, network, cutter, job.samples, job.seed, edits, question)
    # What is predicted from the records changes none of them.
    decides = {k: v for k, v in job.described().items() if k not in {"edits", "margin"}}
    make_folder(job.out)
    return PartedFile(job.out / RECORDS, make, decides, {}, part)


def _require_room(out: Path) -> None:
    if (out / ASSESSMENT).exists():
        raise SettingsError(
            f"{out / ASSESSMENT} holds the predictions of {read_assessment(out / ASSESSMENT)['date']}.",
            "They are not written over: give another --out, or delete that folder yourself.",
        )


def _require_margin(problems: int, margin: float) -> None:
    low, high = wilson(0.5, problems)
    if (high - low) / 2 <= margin:
        return
    needed = problems
    while (wilson(0.5, needed)[1] - wilson(0.5, needed)[0]) / 2 > margin:
        needed += 1
    raise SettingsError(
        f"{problems} problems tell an accuracy to ±{50 * (high - low):.1f} points at worst, and "
        f"±{100 * margin:g} are asked.",
        f"Give {needed} problems, or --margin {math.ceil(50 * (high - low)) / 100:g}.",
    )


def write_assessment(found: Assessment, path: Path) -> None:
    """Write an assessment with the hash of its whole content."""
    content = _plain(asdict(found))
    write_whole(path, json.dumps(content | {HASH: _hash(content)}, indent=1, allow_nan=False) + "\n")


def read_assessment(path: Path) -> dict[str, Any]:
    """Read an assessment.

    Raises:
        DataError: The file is not an assessment, or was changed after it was written.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told = content.pop(HASH)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is no assessment.", "Write one by `halluc assess`.") from error
    if told != _hash(content):
        raise DataError(
            f"{path} was changed after it was written: its hash is another.", "Assess the model again."
        )
    return content


def told_hash(path: Path) -> str:
    """Return the hash of an assessment, by which a result names the predictions made before it.

    Raises:
        DataError: The file is refused by :func:`read_assessment`.
    """
    return _hash(read_assessment(path))


def _hash(content: Mapping[str, Any]) -> str:
    told = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(told.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return values as JSON has them, with null for what is not known."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
