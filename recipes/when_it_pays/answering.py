"""Sample answers of a model, read and judge them, and count what they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from halluc_plugin.decoding import DecodedTrace, Decoding, decode
from halluc_plugin.edits import Context, resolve_rows
from halluc_plugin.metrics import discrimination, hard_flops, judge_ids, soft_flops, step_ends
from halluc_plugin.problem_sets.search import NO
from halluc_plugin.recipes.when_it_pays.asked import Asked
from halluc_plugin.recipes.when_it_pays.specs import Form, Spec
from halluc_plugin.recipes.when_it_pays.writers import MARK, live_ids
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.sampling.problems import step_oracle
from halluc_plugin.tokens import vocab_of

BATCH = 256
"""Number of answers that are sampled at a time."""
QUICK_LOOK = 300
"""Number of problems by which it is seen whether accuracy has settled."""


class _Never(LogitsProcessor):
    """Keeps a token from being sampled."""

    def __init__(self, token: int) -> None:
        self._token = token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - its interface
        scores[:, self._token] = -torch.inf
        return scores


@dataclass(frozen=True)
class Answered:
    """One answer to each problem.

    Attributes:
        traces: The answers, all actions.
        right: Whether each is right.
        seconds: What sampling took.
    """

    traces: list[list[int]]
    right: list[bool]
    seconds: float


def answer(
    model: Any,
    spec: Spec,
    asked: Asked,
    *,
    banned: bool = False,
    copies: int = 1,
) -> Answered:
    """Sample answers at temperature 1, and judge them.

    Args:
        model: A transformers model.
        spec: The model's description.
        asked: The problems.
        banned: Whether rejecting is banned: edits, the mark, or the beginning of the word.
        copies: Number of answers to each problem, one problem after the other.
    """
    tokenizer = asked.tokenizer
    how = Decoding(
        vocab_of(tokenizer), asked.max_tokens, context=spec.form.context,
        budget=0 if banned or not spec.form.edits else None,
        eos_ids=frozenset({int(tokenizer.eos_token_id)}),
    )  # fmt: skip
    rejects = {Form.TWIN: MARK, Form.STREAM: NO}.get(spec.form)
    never = tokenizer.encode(rejects, add_special_tokens=False)[0] if banned and rejects else None
    marks = None if never is None else LogitsProcessorList([_Never(never)])
    generator = torch.Generator(next(model.parameters()).device).manual_seed(asked.seed)
    prompts = [list(problem.prompt) for problem in asked.posed for _ in range(copies)]
    began, traces = perf_counter(), list[DecodedTrace]()
    for first in range(0, len(prompts), BATCH):
        part = prompts[first : first + BATCH]
        traces += decode(model, part, how, processors=marks, generator=generator)
    seconds = perf_counter() - began
    ids = [trace.ids for trace in traces]
    return Answered(ids, judged(ids, spec, asked, copies), seconds)


def judged(traces: Sequence[Sequence[int]], spec: Spec, asked: Asked, copies: int = 1) -> list[bool]:
    """Return whether each of ``copies`` answers to each problem is right."""
    tokenizer, posed = asked.tokenizer, [problem for problem in asked.posed for _ in range(copies)]
    texts = (tokenizer.decode(live_ids(row, spec, tokenizer), skip_special_tokens=True) for row in traces)
    return [asked.right(problem, text) for problem, text in zip(posed, texts, strict=True)]


def accuracy(model: Any, spec: Spec, asked: Asked) -> float:
    """Return the accuracy on some of the problems."""
    right = answer(model, spec, asked.first(QUICK_LOOK)).right
    return sum(right) / len(right)


def measured(model: Any, spec: Spec, asked: Asked, limits: Sequence[int] = ()) -> dict[str, Any]:
    """Return what a model's answers come to: accuracy, banned accuracy, D, and what they took.

    Args:
        model: A transformers model.
        spec: The model's description.
        asked: The problems.
        limits: Numbers of tokens at which answers are cut off, for forms that reject.

    Returns:
        ``correct`` and, for forms that reject, ``correct_banned`` (0 or 1 for each problem) and ``cut`` (by
        limit, the same keys for what stands by then); ``p_edit_dead`` and ``p_edit_live`` where there are
        edits; ``tokens``, ``flops``, ``live`` and ``peak`` (means over answers: sampled tokens; forward FLOPs
        with the attention term; largest number of tokens in the context, and the largest of any answer),
        ``seconds`` of sampling.
    """
    free = answer(model, spec, asked)
    cell = {"correct": list(map(int, free.right)), "seconds": free.seconds}
    cell |= taken(model, spec, asked, free.traces)
    if spec.form.rejects:
        cell["correct_banned"] = list(map(int, answer(model, spec, asked, banned=True).right))
        cell["cut"] = {str(limit): _cut(model, spec, asked, free.traces, limit) for limit in limits}
    if spec.form.edits:
        cell |= _told(asked, free.traces)
    return cell


def _cut(model: Any, spec: Spec, asked: Asked, traces: Sequence[Sequence[int]], limit: int) -> dict[str, Any]:
    short = [list(trace[:limit]) for trace in traces]
    return {"correct": list(map(int, judged(short, spec, asked))), **taken(model, spec, asked, short)}


def taken(model: Any, spec: Spec, asked: Asked, traces: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return what answers took: see :func:`measured`."""
    prompts = [len(problem.prompt) for problem in asked.posed]
    resolution = resolve_rows(traces, vocab_of(asked.tokenizer))
    hard = spec.form.context is Context.HARD
    flops = (hard_flops if hard else soft_flops)(resolution, prompts, decoder_shape(model.config))
    widths = resolution.depth.amax(1).tolist() if hard else list(map(len, traces))
    contexts = [prompt + width for prompt, width in zip(prompts, widths, strict=True)]
    count = len(traces)
    return {
        "tokens": sum(map(len, traces)) / count,
        "flops": sum(flops) / count,
        "live": sum(contexts) / count,
        "peak": max(contexts),
    }


def _told(asked: Asked, traces: Sequence[Sequence[int]]) -> dict[str, float | None]:
    vocab = vocab_of(asked.tokenizer)
    oracles = [step_oracle(problem, asked.tokenizer) for problem in asked.posed]
    told = judge_ids(traces, vocab, oracles)
    found = discrimination([step_ends(trace, vocab.step_delimiters) for trace in told])
    return {
        "p_edit_dead": found.dead.value if found.dead.n else None,
        "p_edit_live": found.live.value if found.live.n else None,
    }
