"""Measure what training made a model forget: right answers without edits, and the distance to its base."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_metadata, read_rows
from halluc_plugin.data.prompts import row_prompts
from halluc_plugin.data.resumable import Progress
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint, read_traces
from halluc_plugin.decoding.limits import max_positions
from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from halluc_plugin.jobs.samplers import policy_space, require_fit
from halluc_plugin.metrics import Difference, Proportion, paired_difference
from halluc_plugin.probes.forgetting import Drift, Text, drift
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.independent import samples_that_end
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.sampling.states import End, Space
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import load_tokenizer

PART = 64
"""Number of problems that are answered together."""


@dataclass(frozen=True)
class Forgetting:
    """What a model forgot.

    Attributes:
        before: For each problem, the share of right answers of the base with edits banned.
        after: The same of the model.
        drift: How far the model is from the base.
    """

    before: Sequence[float]
    after: Sequence[float]
    drift: Drift

    @property
    def accuracy_before(self) -> Proportion:
        """Accuracy of the base."""
        return Proportion.of_scores(self.before)

    @property
    def accuracy_after(self) -> Proportion:
        """Accuracy of the model."""
        return Proportion.of_scores(self.after)

    @property
    def change(self) -> Difference:
        """Accuracy of the model minus that of the base, on the same problems."""
        return paired_difference(self.after, self.before)

    def as_json(self) -> dict[str, Any]:
        """Return all numbers, JSON-able."""
        return {
            "before": asdict(self.accuracy_before),
            "after": asdict(self.accuracy_after),
            "change": asdict(self.change),
            "divergence": asdict(self.drift.divergence),
            "edits": asdict(self.drift.edits),
        }


@dataclass(frozen=True)
class ForgettingJob:
    """The settings of a probe of forgetting.

    Args:
        base: Model folder or hub name that training started from.
        model: The trained model, with the ids of the base; it may have edit tokens more.
        data: Problems of the clean task.
        text: File of neutral text: traces without edits, or rows with verl's ``prompt``, which is the text;
            None for the base's own answers to the problems.
        samples: Number of answers of each model to each problem.
        max_tokens: Largest number of tokens of an answer.
        temperature: Sampling temperature.
        step_delimiter: Text that ends a step.
        limit: Number of problems, and of texts, from the first; None for all.
        seed: Seed of all samples.
        trust_remote_code: Whether code that comes with the models may run.
        apply_chat_template_kwargs: Further arguments of the chat template.

    Raises:
        SettingsError: A number is out of range.
    """

    base: str
    model: str
    data: Path
    text: Path | None = None
    samples: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    step_delimiter: str = "\n"
    limit: int | None = 200
    seed: int = 0
    trust_remote_code: bool = False
    apply_chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.samples < 1 or (self.limit is not None and self.limit < 1):
            raise SettingsError(f"--samples is {self.samples} and --limit {self.limit}.", "Give at least 1.")
        if self.temperature == 0 and self.samples > 1:
            raise SettingsError(
                f"At temperature 0 all {self.samples} answers would be the same.",
                "Give a temperature above 0, or --samples 1.",
            )


@dataclass(frozen=True)
class Probed:
    """A loaded model with its ids.

    Attributes:
        network: A causal language model in eval mode.
        tokenizer: Its tokenizer.
        space: The space in which it answers, edits banned.
    """

    network: Any
    tokenizer: Any
    space: Space


def probe_forgetting(job: ForgettingJob, progress: Progress = pass_on) -> Forgetting:
    """Compare a model with its base.

    Args:
        job: The settings of the probe.
        progress: Shows the progress.

    Raises:
        TokenizerError: A model cannot be loaded, or the two have other ids.
        DataError: A file is missing or malformed, in other ids, or has edits in its text.
        SettingsError: What is read or written does not fit in a model's positions.
    """
    trust = job.trust_remote_code
    tokenizers = [load_tokenizer(name, trust_remote_code=trust) for name in (job.base, job.model)]
    shared_ids(*tokenizers)  # before anything is read in ids
    problems = read_problems(
        job.data, tokenizers[0], job.limit, template_kwargs=job.apply_chat_template_kwargs
    )
    texts = None if job.text is None else _texts(job.text, tokenizers, job)
    spaces = []
    for name, tokenizer in zip((job.base, job.model), tokenizers, strict=True):
        space = policy_space(
            name, tokenizer, step_delimiter=job.step_delimiter, max_tokens=job.max_tokens,
            temperature=job.temperature,
        )  # fmt: skip
        require_fit(name, [problem.prompt for problem in problems], space, trust_remote_code=trust)
        spaces.append(space)
    base, model = (
        Probed(load_network(name, trust_remote_code=trust), tokenizer, space)
        for name, tokenizer, space in zip((job.base, job.model), tokenizers, spaces, strict=True)
    )
    return forgotten(
        base, model, problems, samples=job.samples, seed=job.seed, texts=texts, progress=progress
    )


def forgotten(
    base: Probed,
    model: Probed,
    problems: Sequence[PosedProblem],
    *,
    samples: int = 1,
    seed: int = 0,
    texts: Sequence[Text] | None = None,
    progress: Progress = pass_on,
) -> Forgetting:
    """Return what a model forgot of a base.

    Args:
        base: The model that training started from.
        model: The trained model.
        problems: Problems of the clean task.
        samples: Number of answers of each model to each problem.
        seed: Seed of all samples.
        texts: Neutral texts, without edits; None for the base's own answers.
        progress: Shows the progress.

    Raises:
        TokenizerError: The models have other ids.
        SettingsError: A text does not fit in a model's positions.
    """
    known, edits = shared_ids(base.tokenizer, model.tokenizer)
    before, own = _answered(base, problems, samples, seed, progress)
    after, _ = _answered(model, problems, samples, seed, progress)
    read = own if texts is None else texts
    for each in (base, model):
        _require_positions(each.network.config, read)
    moved = drift(base.network, model.network, progress(iter(read), "texts read", len(read)), known, edits)
    return Forgetting(before, after, moved)


def shared_ids(base: Any, model: Any) -> tuple[list[int], list[int]]:
    """Return the ids that two tokenizers share and that do not edit, and the edit ids of the second.

    Args:
        base: The tokenizer of the base.
        model: The tokenizer of the trained model, which may have edit tokens more.

    Raises:
        TokenizerError: The tokenizers differ in more than edit tokens.
    """
    ours, theirs = (_plain_ids(tokenizer) for tokenizer in (base, model))
    if ours != theirs:
        other = min(set(ours.items()) ^ set(theirs.items()), key=lambda item: (item[1], item[0]))
        raise TokenizerError(
            f"The model has other ids than its base; the first difference is {other[0]!r} (id {other[1]}).",
            "Give the model that training started from: --base MODEL. Only edit tokens may be new.",
        )
    return sorted(ours.values()), sorted(set(model.get_vocab().values()) - set(theirs.values()))


def _plain_ids(tokenizer: Any) -> dict[str, int]:
    edits = vocab_of(tokenizer).edit_ids
    return {token: at for token, at in tokenizer.get_vocab().items() if at not in edits}


def _answered(
    probed: Probed, problems: Sequence[PosedProblem], samples: int, seed: int, progress: Progress
) -> tuple[list[float], list[Text]]:
    """The share of right answers to each problem, and all that was written."""
    sampler, scores, texts = HFSampler(probed.network, probed.space, seed=seed), list[float](), list[Text]()

    def parts() -> Iterable[Sequence[PosedProblem]]:
        for at in range(0, len(problems), PART):
            yield problems[at : at + PART]

    for part in progress(parts(), "problems answered", -(-len(problems) // PART)):
        prompts = [problem.prompt for problem in part]
        found = run([samples_that_end(p, probed.space, samples) for p in prompts], prompts, sampler)
        for problem, result in zip(part, found, strict=True):
            judge = judge_of(problem, probed.tokenizer)
            right = [s.end is End.EOS and judge(s.ids) for _, s in result.samples]
            scores.append(sum(right) / samples)
            texts += [(problem.prompt, sample.ids) for _, sample in result.samples]
    return scores, texts


def _texts(path: Path, tokenizers: Sequence[Any], job: ForgettingJob) -> list[Text]:
    """The texts of a file: traces behind their prompts, or prompts behind their first token."""
    made_with = read_metadata(path).get(FINGERPRINT)
    texts: list[Text]
    if made_with is None:
        rows = read_rows(path, ("prompt",))[: job.limit]
        prompts = row_prompts(path, rows, tokenizers[0], job.apply_chat_template_kwargs)
        texts = [(prompt[:1], prompt[1:]) for prompt in prompts]
    else:
        of = tokenizers[0] if fingerprint(tokenizers[0]) == made_with else tokenizers[1]
        texts = [(row.prompt_ids, row.response_ids) for row in read_traces(path, of)[: job.limit]]
    edits = vocab_of(tokenizers[1]).edit_ids
    if any(not edits.isdisjoint(ids) for text in texts for ids in text):
        raise DataError(f"{path} has edits in its text, which the base does not know.", "Give clean text.")
    return texts


def _require_positions(config: Any, texts: Sequence[Text]) -> None:
    positions, longest = max_positions(config), max((len(a) + len(b) for a, b in texts), default=0)
    if positions is not None and longest > positions:
        raise SettingsError(
            f"A text of {longest} tokens does not fit in a model's {positions} positions.",
            "Give shorter texts: --text FILE, or answers: --max-tokens.",
        )
