"""Measure a model at one point of a run: its answers with edits, and with edits banned."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.decoding import DecodedTrace, Decoding, decode
from halluc_plugin.edits import Context, collapse, find_delimiters
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import DataError
from halluc_plugin.jobs.samplers import answer_ends
from halluc_plugin.metrics import Discrimination, discrimination, judge_ids, step_ends
from halluc_plugin.run_metrics import REPORT, RunMetrics
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem, read_problems, step_oracle
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_tokenizer
from halluc_plugin.verifiers import Outcome, PrefixVerifier

BATCH = 256
"""Number of answers that are sampled at a time."""


@dataclass(frozen=True)
class PhaseJob:
    """The settings by which a model is measured.

    Args:
        data: File of held-out problems.
        problems: Number of problems, from the first.
        max_tokens: Largest number of tokens of an answer, erased ones and edits included.
        context: What the model sees after an edit, soft or hard.
        boundary: The effect of an edit on an empty response.
        max_backtracks: Budget of effective edits per answer, None for no limit.
        step_delimiter: Text that ends a step.
        temperature: Sampling temperature.
        seed: Seed of all answers.
        template_kwargs: Further arguments of the chat template, None for none.
        trust_remote_code: Whether code that comes with the model may run.
    """

    data: Path
    problems: int
    max_tokens: int
    context: Context = Context.SOFT
    boundary: Boundary = Boundary.NOOP
    max_backtracks: int | None = None
    step_delimiter: str = "\n"
    temperature: float = 1.0
    seed: int = 0
    template_kwargs: Mapping[str, Any] | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Phase:
    """The measurements of a model, on one answer to each problem.

    Attributes:
        accuracy: Share of right answers, edits applied, in [0, 1].
        accuracy_banned: The same with edits banned; None for a model without edits.
        p_edit_dead: Share of ends of steps with the goal out of reach after which an edit follows; None if
            there is no such end, no edit, or no judge of prefixes.
        p_edit_live: The same for ends of steps with the goal within reach.
        backtracks: Mean number of edits of an answer, those without effect included.
        tokens: Mean number of sampled tokens of an answer, erased ones and edits included.
        n: Number of answers.
        temperature: Sampling temperature.
    """

    accuracy: float
    accuracy_banned: float | None
    p_edit_dead: float | None
    p_edit_live: float | None
    backtracks: float
    tokens: float
    n: int
    temperature: float

    @property
    def d(self) -> float | None:
        """D, the first of the two shares minus the second; None if either is None."""
        known = self.p_edit_dead is not None and self.p_edit_live is not None
        return self.p_edit_dead - self.p_edit_live if known else None  # type: ignore[operator]


@dataclass(frozen=True)
class Measured:
    """The measurements of a phase, with the judgements from which they are computed, for pairing and pooling.

    Attributes:
        phase: The figures.
        right: Whether the answer to each problem is right, edits applied, in the order of the problems.
        right_banned: The same with edits banned; None for a model without edits.
        told: How well dead ends are told from live texts; None if nothing judges prefixes.
    """

    phase: Phase
    right: list[bool]
    right_banned: list[bool] | None
    told: Discrimination | None


@dataclass(frozen=True)
class ShippedPhase:
    """The figures of another model that come with a recipe and were not measured in this run.

    Attributes:
        phase: The figures.
        source: What was measured, when and how often, as the recipe states it.
    """

    phase: Phase
    source: str


def measure(model: Path, job: PhaseJob) -> Measured:
    """Sample one answer to each problem with edits and one without, and judge them.

    Args:
        model: Folder of a transformers model.
        job: The settings of the measurement.

    Returns:
        The measurements, with the judgements from which they are computed.

    Raises:
        DataError: The data are malformed, or their source has no verifier.
        TokenizerError: The model cannot be loaded, or no id ends an answer.
    """
    name, trust = str(model), job.trust_remote_code
    tokenizer = load_tokenizer(name, trust_remote_code=trust)
    problems = read_problems(job.data, tokenizer, job.problems, template_kwargs=job.template_kwargs)
    network = load_network(name, trust_remote_code=trust)
    vocab = vocab_of(tokenizer, step_delimiter=job.step_delimiter)
    how = Decoding(
        vocab, job.max_tokens, context=job.context, boundary=job.boundary, budget=job.max_backtracks,
        temperature=job.temperature, eos_ids=answer_ends(name, tokenizer),
    )  # fmt: skip
    free = _answers(network, problems, how, job.seed)
    right, right_banned, told = _right(free, problems, vocab, tokenizer), None, None
    if BACKTRACK_TOKEN in tokenizer.get_vocab():
        without = _answers(network, problems, replace(how, budget=0), job.seed)
        right_banned = _right(without, problems, vocab, tokenizer)
        told = _told(free, problems, vocab, tokenizer, job)
    edits = sum(token in vocab.edit_ids for trace in free for token in trace.ids)
    phase = Phase(
        accuracy=sum(right) / len(right),
        accuracy_banned=None if right_banned is None else sum(right_banned) / len(right_banned),
        p_edit_dead=told.dead.value if told and told.dead.n else None,
        p_edit_live=told.live.value if told and told.live.n else None,
        backtracks=edits / len(free),
        tokens=sum(len(trace.ids) for trace in free) / len(free),
        n=len(free),
        temperature=job.temperature,
    )
    return Measured(phase, right, right_banned, told)


def _answers(
    network: Any, problems: Sequence[PosedProblem], decoding: Decoding, seed: int
) -> list[DecodedTrace]:
    import torch

    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    prompts = [problem.prompt for problem in problems]
    parts = (prompts[first : first + BATCH] for first in range(0, len(prompts), BATCH))
    return [trace for part in parts for trace in decode(network, part, decoding, generator=generator)]


def _right(
    traces: Sequence[DecodedTrace], problems: Sequence[PosedProblem], vocab: Any, tokenizer: Any
) -> list[bool]:
    texts = (tokenizer.decode(collapse(t.ids, vocab), skip_special_tokens=True) for t in traces)
    verdicts = (p.verifier.verify(p.truth, text) for p, text in zip(problems, texts, strict=True))
    return [verdict is Outcome.CORRECT for verdict in verdicts]


def _told(
    traces: Sequence[DecodedTrace],
    problems: Sequence[PosedProblem],
    vocab: Any,
    tokenizer: Any,
    job: PhaseJob,
) -> Discrimination | None:
    """What edits follow; None where nothing judges prefixes."""
    if not all(isinstance(problem.verifier, PrefixVerifier) for problem in problems):
        return None
    ends = find_delimiters(tokenizer, job.step_delimiter, edit_ids=vocab.edit_ids)
    oracles = [step_oracle(problem, tokenizer) for problem in problems]
    judged = judge_ids([trace.ids for trace in traces], vocab, oracles)
    return discrimination([step_ends(trace, ends, budget=job.max_backtracks) for trace in judged])


def shipped_phase(path: Path, options: Mapping[str, Any]) -> ShippedPhase | None:
    """Return the figures in a recipe's file that were measured on the same problems as this run's.

    The file is a JSON list of objects: ``options`` (those of ``halluc data TASK`` that the problems depend
    on, by name), ``source`` (a text), and ``phase`` (the fields of :class:`Phase`; those that a model without
    edits does not have may be left out).

    Args:
        path: The file; it may be missing.
        options: The options of this run's problems.

    Returns:
        The figures of the first entry all of whose options are this run's, None if there is none.

    Raises:
        DataError: The file does not have this form.
    """
    if not path.is_file():
        return None
    unknown = {"accuracy_banned": None, "p_edit_dead": None, "p_edit_live": None, "backtracks": 0.0}
    try:
        for entry in json.loads(path.read_text(encoding="utf-8")):
            if entry["options"].items() <= dict(options).items():
                return ShippedPhase(Phase(**{**unknown, **entry["phase"]}), str(entry["source"]))
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} holds no figures of a shipped model ({type(error).__name__}: {error}).",
            "Write a list of objects with options, source and phase.",
        ) from error
    return None


def write_report(
    folder: Path,
    *,
    task: str,
    seed: int,
    seconds: float | None,
    phases: Mapping[str, Phase | ShippedPhase],
    metrics: RunMetrics | None = None,
) -> Path:
    """Write :data:`halluc_plugin.run_metrics.REPORT` into a run's folder.

    Args:
        folder: Folder of the run.
        task: Name of the task.
        seed: Seed of the run.
        seconds: Duration from the run's preparation to the end of training, in seconds; None if not known.
        phases: The measurements by phase; shipped figures are written with ``"shipped": true``.
        metrics: The run's metrics, for its speed and its memory; None if they are not known.

    Returns:
        The path of the file.
    """
    told = {
        "task": task, "seed": seed, "seconds": seconds,
        "tokens_per_second": metrics and metrics.tokens_per_second,
        "peak_memory_gb": metrics and metrics.peak_memory,
        "phases": {name: _written(phase) for name, phase in phases.items()},
    }  # fmt: skip
    path = folder / REPORT
    write_whole(path, json.dumps(told, indent=1) + "\n")
    return path


def _written(given: Phase | ShippedPhase) -> dict[str, Any]:
    if isinstance(given, Phase):
        return asdict(given)
    return {**asdict(given.phase), "shipped": True, "source": given.source}
