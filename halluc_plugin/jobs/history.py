"""Run the probe of histories on the traces of a file, or on those that a model samples itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.resumable import Progress
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, find_delimiters
from halluc_plugin.errors import SettingsError
from halluc_plugin.jobs.samplers import answer_ends
from halluc_plugin.probes.history import HistoryProbe, probe_history, ways_of
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.tokens.loading import load_tokenizer

BATCH = 256
"""Number of traces that are sampled at a time."""


@dataclass(frozen=True)
class HistoryJob:
    """The settings of a probe of histories.

    Args:
        model: Model folder or hub name, with an edit token.
        traces: Trace file in the model's ids; None if the model samples its own traces.
        data: Problems for which the model samples traces; None if a file of traces is given.
        sampled: The context in which the model samples, soft or hard.
        max_tokens: Largest number of tokens of a sampled trace.
        temperature: Sampling temperature.
        step_delimiter: Text that ends a step.
        limit: Number of traces, from the first; None for all.
        seed: Seed of the samples and of the other orders.
        trust_remote_code: Whether code that comes with the model may run.
        apply_chat_template_kwargs: Further arguments of the model's chat template.

    Raises:
        SettingsError: Neither traces nor data are given, both are, or the limit leaves no trace.
    """

    model: str
    traces: Path | None = None
    data: Path | None = None
    sampled: Context = Context.SOFT
    max_tokens: int = 256
    temperature: float = 1.0
    step_delimiter: str = "\n"
    limit: int | None = 200
    seed: int = 0
    trust_remote_code: bool = False
    apply_chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.traces is None) == (self.data is None):
            raise SettingsError(
                "The probe reads a file of traces or samples answers to problems.",
                "Give --traces or --data, and not both.",
            )
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"--limit is {self.limit}.", "Give at least 1 trace.")


def probe(job: HistoryJob, progress: Progress = pass_on) -> list[HistoryProbe]:
    """Probe both contexts on the same traces.

    Args:
        job: The settings of the probe.
        progress: Shows the progress.

    Returns:
        One probe for each context.

    Raises:
        TokenizerError: The model cannot be loaded, or has no edit token.
        DataError: The file is missing, malformed, or in other ids.
        TraceError: No trace takes anything back before another action.
    """
    trust = job.trust_remote_code
    tokenizer = load_tokenizer(job.model, trust_remote_code=trust)
    vocab = edit_vocab(tokenizer, step_delimiter=job.step_delimiter)
    delimiters = find_delimiters(tokenizer, job.step_delimiter, edit_ids=vocab.edit_ids)
    if job.traces is not None:
        rows: Sequence[TraceRow] = read_traces(job.traces, tokenizer)[: job.limit]
        network = load_network(job.model, trust_remote_code=trust)
    else:
        assert job.data is not None
        problems = read_problems(
            job.data, tokenizer, job.limit, template_kwargs=job.apply_chat_template_kwargs
        )
        network = load_network(job.model, trust_remote_code=trust)
        how = Decoding(
            vocab, job.max_tokens, context=job.sampled, temperature=job.temperature,
            eos_ids=answer_ends(job.model, tokenizer),
        )  # fmt: skip
        rows = _sampled(network, [problem.prompt for problem in problems], how, job.seed, progress)
    rng = np.random.default_rng(job.seed)
    ways = [
        way
        for number, row in enumerate(rows)
        for way in ways_of(number, row.prompt_ids, row.response_ids, vocab, delimiters=delimiters, rng=rng)
    ]
    return [probe_history(network, ways, vocab, context, progress) for context in Context]


def _sampled(
    network: Any, prompts: Sequence[Sequence[int]], how: Decoding, seed: int, progress: Progress
) -> list[TraceRow]:
    import torch

    generator = torch.Generator(next(network.parameters()).device).manual_seed(seed)

    def rows() -> Iterator[TraceRow]:
        for start in range(0, len(prompts), BATCH):
            part = prompts[start : start + BATCH]
            found = decode(network, part, how, generator=generator)
            yield from (TraceRow(list(p), list(trace.ids)) for p, trace in zip(part, found, strict=True))

    return list(progress(rows(), "traces sampled", len(prompts)))
