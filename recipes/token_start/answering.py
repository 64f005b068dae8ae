"""Sample answers of a model, read them as edits, and judge answers and edits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.forcing import Forcing
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.metrics import (
    JudgedTrace,
    Proportion,
    event_precision,
    event_recall,
    judge_ids,
    tries_by_state,
)
from halluc_plugin.recipes.reset.attacks import Bias
from halluc_plugin.recipes.token_start.models import Models
from halluc_plugin.recipes.when_it_pays.asked import Asked
from halluc_plugin.sampling.problems import PosedProblem, step_oracle
from halluc_plugin.verifiers import Outcome

BATCH = 256


@dataclass(frozen=True)
class Way:
    """The settings by which a model is asked.

    Attributes:
        mark: Ids of the text that takes a line back; empty if the token does.
        bias: What is added to the token's logit, in nats.
        budget: Largest number of edits, None for no limit.
        edits: Number of edits until which an end is held back, None for none.
        checked: Whether the problem's verifier says when an answer may end.
        instead: Ids that stand in the place of an end that is held back; empty to ban it.
    """

    mark: tuple[int, ...] = field(default=())
    bias: float = 0.0
    budget: int | None = None
    edits: int | None = None
    checked: bool = False
    instead: tuple[int, ...] = ()


def ask(models: Models, network: Any, asked: Asked, way: Way | None = None) -> dict[str, Any]:
    """Return what a model's answers at temperature 1 in soft context come to, one to each problem.

    Returns:
        For each problem ``correct`` (0 or 1), ``events`` and ``tokens`` (numbers), ``precision`` and
        ``recall`` (each how many count, and of how many); and ``tries``, for each state with several tries
        how many differ, and how many there are.
    """
    way = way or Way()
    traces = [as_edits(ids, way.mark, models.vocab) for ids in sampled(models, network, asked, way)]
    oracles = [step_oracle(problem, models.tokenizer) for problem in asked.posed]
    judged = judge_ids([each.ids for each in traces], models.vocab, oracles)
    texts = (read(each.ids, models) for each in traces)
    ends = models.vocab.step_delimiters
    return {
        "correct": [int(right(problem, text)) for problem, text in zip(asked.posed, texts, strict=True)],
        "events": [len(trace.events) for trace in judged],
        "tokens": [each.tokens for each in traces],
        "precision": [counts(event_precision, trace) for trace in judged],
        "recall": [counts(event_recall, trace) for trace in judged],
        "tries": [[len(set(tries)), len(tries)] for trace in judged for tries in tries_by_state(trace, ends)],
    }


@dataclass(frozen=True)
class Read:
    """An answer with edits in the place of marks.

    Attributes:
        ids: Its actions.
        tokens: Number of tokens that were sampled.
    """

    ids: list[int]
    tokens: int


def as_edits(ids: Sequence[int], mark: Sequence[int], vocab: EditVocab) -> Read:
    """Return an answer in which a step backtrack replaces each mark; without a mark it is left as it is.

    A part of a mark is text, as anything else that was written.
    """
    found: list[int] = []
    at, size = 0, len(mark)
    while at < len(ids):
        if size and tuple(ids[at : at + size]) == tuple(mark):
            assert vocab.step is not None
            found.append(vocab.step)
            at += size
        else:
            found.append(ids[at])
            at += 1
    return Read(found, len(ids))


def counts(metric: Callable[[Sequence[JudgedTrace]], Proportion], trace: JudgedTrace) -> list[int]:
    """Return how many observations of a trace count, and how many there are."""
    share = metric([trace])
    return [round(share.value * share.n) if share.n else 0, share.n]


def read(ids: Sequence[int], models: Models) -> str:
    """Return the text that is left of an answer."""
    text: str = models.tokenizer.decode(list(collapse(ids, models.vocab)), skip_special_tokens=True)
    return text


def right(problem: PosedProblem, text: str) -> bool:
    """Return whether an answer is right."""
    return problem.verifier.verify(problem.truth, text) is Outcome.CORRECT


def sampled(models: Models, network: Any, asked: Asked, way: Way) -> list[list[int]]:
    """Return all actions of an answer to each problem."""
    generator = torch.Generator(network.device).manual_seed(models.seed)
    processors = None
    if way.bias:
        assert models.vocab.step is not None
        processors = LogitsProcessorList([Bias(models.vocab.step, -way.bias)])
    found: list[list[int]] = []
    for start in range(0, len(asked.posed), BATCH):
        part = asked.posed[start : start + BATCH]
        how = Decoding(
            models.vocab, asked.max_tokens, budget=0 if way.mark else way.budget,
            eos_ids=frozenset({int(models.tokenizer.eos_token_id)}), forcing=_forcing(models, part, way),
        )  # fmt: skip
        prompts = [list(problem.prompt) for problem in part]
        traces = decode(network, prompts, how, processors=processors, generator=generator)
        found += [trace.ids for trace in traces]
    return found


def _forcing(models: Models, posed: Sequence[PosedProblem], way: Way) -> Forcing | None:
    if way.edits is None and not way.checked:
        return None

    def accepts(response: int, live_ids: Sequence[int]) -> bool:
        return right(posed[response], read(as_edits(live_ids, way.mark, models.vocab).ids, models))

    return Forcing(way.edits, accepts if way.checked else None, way.instead)
