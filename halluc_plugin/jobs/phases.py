"""What a model is worth at one point of a run: its answers, and those of the same model without its edits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.decoding import DecodedTrace, Decoding, decode
from halluc_plugin.edits import Context, collapse, find_delimiters
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.jobs.samplers import answer_ends
from halluc_plugin.metrics import discrimination, judge_ids, step_ends
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem, read_problems, step_oracle
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_tokenizer
from halluc_plugin.verifiers import Outcome, PrefixVerifier

REPORT = "report.json"
BATCH = 256
"""Answers that are written at a time."""


@dataclass(frozen=True)
class PhaseJob:
    """How a model is asked.

    Args:
        data: Held-out problems.
        problems: How many of them, from the first.
        max_tokens: Most tokens of an answer, erased ones and edits included.
        context: What the model sees after an edit.
        boundary: What an edit on an empty response does.
        max_backtracks: Budget of effective edits per answer, None for no limit.
        step_delimiter: Text that ends a step.
        temperature: Of sampling.
        seed: Of all answers.
        template_kwargs: What the chat template reads beside the messages; None for nothing.
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
    """What was measured, on one answer to each problem.

    Attributes:
        accuracy: Share of right answers, edits applied, in [0, 1].
        accuracy_banned: The same with edits banned; None for a model that has none.
        p_edit_dead: Share of ends of steps with the goal out of reach that an edit follows; None where there
            is no such end, no edit, or no judge of prefixes.
        p_edit_live: The same with the goal within reach.
        backtracks: Edits an answer, those without effect included.
        tokens: Sampled tokens an answer, erased ones and edits included.
        n: Answers.
        temperature: Of sampling.
    """

    accuracy: float
    accuracy_banned: float | None
    p_edit_dead: float | None
    p_edit_live: float | None
    backtracks: float
    tokens: float
    n: int
    temperature: float


def measure(model: Path, job: PhaseJob) -> Phase:
    """Sample one answer to each problem with edits, and one without, and judge them.

    Args:
        model: Folder of a transformers model.
        job: How it is asked.

    Raises:
        DataError: The data are malformed, or their source has no verifier.
        TokenizerError: The model cannot be loaded, or nothing ends an answer.
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
    free, banned, dead, live = _answers(network, problems, how, job.seed), None, None, None
    if BACKTRACK_TOKEN in tokenizer.get_vocab():
        without = _answers(network, problems, replace(how, budget=0), job.seed)
        banned = _accuracy(without, problems, vocab, tokenizer)
        dead, live = _told(free, problems, vocab, tokenizer, job)
    edits = sum(token in vocab.edit_ids for trace in free for token in trace.ids)
    return Phase(
        accuracy=_accuracy(free, problems, vocab, tokenizer),
        accuracy_banned=banned,
        p_edit_dead=dead,
        p_edit_live=live,
        backtracks=edits / len(free),
        tokens=sum(len(trace.ids) for trace in free) / len(free),
        n=len(free),
        temperature=job.temperature,
    )


def _answers(
    network: Any, problems: Sequence[PosedProblem], decoding: Decoding, seed: int
) -> list[DecodedTrace]:
    import torch

    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)
    prompts = [problem.prompt for problem in problems]
    parts = (prompts[first : first + BATCH] for first in range(0, len(prompts), BATCH))
    return [trace for part in parts for trace in decode(network, part, decoding, generator=generator)]


def _accuracy(
    traces: Sequence[DecodedTrace], problems: Sequence[PosedProblem], vocab: Any, tokenizer: Any
) -> float:
    texts = (tokenizer.decode(collapse(t.ids, vocab), skip_special_tokens=True) for t in traces)
    verdicts = [p.verifier.verify(p.truth, text) for p, text in zip(problems, texts, strict=True)]
    return sum(verdict is Outcome.CORRECT for verdict in verdicts) / len(verdicts)


def _told(
    traces: Sequence[DecodedTrace],
    problems: Sequence[PosedProblem],
    vocab: Any,
    tokenizer: Any,
    job: PhaseJob,
) -> tuple[float | None, float | None]:
    """P(edit | dead) and P(edit | live); None where nothing says so."""
    if not all(isinstance(problem.verifier, PrefixVerifier) for problem in problems):
        return None, None
    ends = find_delimiters(tokenizer, job.step_delimiter, edit_ids=vocab.edit_ids)
    oracles = [step_oracle(problem, tokenizer) for problem in problems]
    judged = judge_ids([trace.ids for trace in traces], vocab, oracles)
    found = discrimination([step_ends(trace, ends, budget=job.max_backtracks) for trace in judged])
    dead, live = (share.value if share.n else None for share in (found.dead, found.live))
    return dead, live


def write_report(
    folder: Path, *, task: str, seed: int, seconds: float | None, phases: Mapping[str, Phase]
) -> Path:
    """Write :data:`REPORT` into a run's folder.

    Args:
        folder: The run's.
        task: Name of the task.
        seed: Of the run.
        seconds: That it took, from its preparation to the end of training; None where that is not known.
        phases: What was measured, by phase.

    Returns:
        The file.
    """
    told = {
        "task": task, "seed": seed, "seconds": seconds,
        "phases": {name: asdict(phase) for name, phase in phases.items()},
    }  # fmt: skip
    path = folder / REPORT
    write_whole(path, json.dumps(told, indent=1) + "\n")
    return path
