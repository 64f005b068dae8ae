"""The answers of a training step and the advantages of their actions, whatever samples and trains."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from halluc_plugin.credit import EventValue, sampled_actions, shape_advantages
from halluc_plugin.credit.sources import BY_GROUP
from halluc_plugin.edits import EditVocab, Resolution, resolve_rows
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError
from halluc_plugin.rewards import Answer, Marks
from halluc_plugin.rewards.states import WHOLE
from halluc_plugin.rl.action_credit import action_pay
from halluc_plugin.settings import Settings

ROUNDING = 1e-9
"""Gain that is attributed to rounding of floating-point means."""
AT_ONCE = 2**20
"""Number of actions that are shaped at once."""


@dataclass(frozen=True)
class Answers:
    """B answers of a training step.

    Attributes:
        keys: The names of the answers.
        prompts: The key of each answer's prompt, the same within a group.
        responses: The token ids of each raw trace, T actions each: lists, or tensors, Integer[T] each, which
            take a tenth of the memory.
        masks: Nonzero for the actions that contribute to the loss, Number[T] each.
        advantages: The advantage of the whole answer at these actions, Float[T] each.
        rewards: The reward of each answer.
        infos: The :func:`reward_info` of each answer.
    """

    keys: Sequence[str]
    prompts: Sequence[str]
    responses: Sequence[Any]
    masks: Sequence[Tensor]
    advantages: Sequence[Tensor]
    rewards: Sequence[float]
    infos: Sequence[Mapping[str, Any]]

    def some(self, rows: Sequence[int]) -> "Answers":
        """Return the answers of these numbers."""
        return Answers(*([getattr(self, field.name)[row] for row in rows] for field in fields(self)))

    def parts(self, actions: int) -> Iterator[list[int]]:
        """Yield the numbers of answers in parts of whole groups, each of about so many actions or more."""
        groups: dict[str, list[int]] = {}
        for number, prompt in enumerate(self.prompts):
            groups.setdefault(prompt, []).append(number)
        part: list[int] = []
        held = 0
        for group in groups.values():
            part += group
            held += sum(len(self.responses[number]) for number in group)
            if held >= actions:
                yield part
                part, held = [], 0
        if part:
            yield part


def reward_info(
    answer: Answer, parts: Mapping[str, float], *, finished: bool, without_edits: bool
) -> dict[str, Any]:
    """Return the figures that are kept of a judged answer; every answer of a run has the same keys.

    Args:
        answer: The judged answer.
        parts: The answer's reward components, unweighted.
        finished: Whether the answer ended by itself.
        without_edits: Whether the value before the first event is the accuracy of an answer without edits,
            from sampled continuations or a first turn.

    Returns:
        The components; ``acc`` and, where it was judged, ``acc_raw`` (resolved and raw text); the counts of
        :meth:`halluc_plugin.rewards.Trace.counts`; ``truncated``; ``moves``, the events' values before and
        after as JSON (verl's metrics pass over texts), "null" where nothing judges states; ``steps``, the
        values after steps, likewise; and where known ``acc_without_edits``.
    """
    event_values = answer.event_values
    info: dict[str, Any] = {
        **parts,
        "acc": answer.final.accuracy,
        **({} if answer.raw is None else {"acc_raw": answer.raw.accuracy}),
        **answer.trace.counts(),
        "truncated": float(not finished),
        "moves": json.dumps(event_values and [[value.before, value.after] for value in event_values]),
        "steps": json.dumps(answer.steps),
    }
    if without_edits and event_values is not None:
        info["acc_without_edits"] = event_values[0].before if event_values else answer.final.accuracy
    return info


def shapes_actions(settings: Settings) -> bool:
    """Return whether single actions get more than their answer's advantage."""
    credit = settings.credit
    return settings.erased_tokens is ErasedTokens.NEGATIVE or credit.alpha != 0 or credit.share < 1


def shape(
    answers: Answers, vocab: EditVocab, settings: Settings, *, marks: Marks = WHOLE, step: int = 0
) -> tuple[list[Tensor], dict[str, float]]:
    """Return the advantages of every action, and metrics of the credit of single actions.

    Args:
        answers: The answers of a step.
        vocab: The edit vocabulary of the ids.
        settings: The settings of the step.
        marks: The ids that end steps and answers.
        step: Number of the step, which decides the actions that are drawn.

    Returns:
        The advantages, Float[T] for each answer; and under ``backtrack/`` the metrics ``event_gain``, the
        mean Δ of an event (where edits alone are credited), ``degenerate/credit``, the share of prompts whose
        advantages the credit does not change, and ``degenerate/credit_actions``, the share of unmasked
        actions that it does not.

    Raises:
        DataError: Judged values are credited, and an answer has none.
    """
    rows: dict[int, Tensor] = {}
    event_values: dict[int, list[EventValue]] = {}
    changed, learned, moved = 0, 0, set[str]()
    # What is known of an action takes a hundred bytes, and a step may have tens of millions of them.
    for part in answers.parts(AT_ONCE):
        some = answers.some(part)
        resolution = resolve_rows(some.responses, vocab)
        shaped, found = _shaped(some, resolution, settings, marks, step)
        changes = _changes(shaped, some, resolution, settings.erased_tokens)
        changed += int(changes.sum())
        learned += sum(int((mask != 0).sum()) for mask in some.masks)
        moved |= {some.prompts[row] for row in changes.any(1).nonzero().flatten().tolist()}
        ids = zip(part, shaped, some.responses, strict=True)
        rows |= {number: row[: len(response)].clone() for number, row, response in ids}
        event_values |= dict(zip(part, found or (), strict=False))
    order = range(len(answers.keys))
    metrics = {}
    if settings.credit.alpha or settings.credit.share < 1:
        metrics = {
            "backtrack/degenerate/credit": 1 - len(moved) / len(set(answers.prompts)),
            "backtrack/degenerate/credit_actions": 1 - changed / max(1, learned),
        }
    gains = [value.gain for number in sorted(event_values) for value in event_values[number]]
    metrics |= {"backtrack/event_gain": sum(gains) / len(gains)} if gains else {}
    return [rows[number] for number in order], metrics


def _shaped(
    answers: Answers, resolution: Resolution, settings: Settings, marks: Marks, step: int
) -> tuple[Tensor, list[list[EventValue]] | None]:
    """The advantages of these answers, and what edits gained where they alone are credited."""
    credit, event_values, pay = settings.credit, None, None
    if credit.pays_all:
        pay = action_pay(
            resolution, answers.prompts, answers.rewards, answers.infos, credit=credit, marks=marks
        )
    elif credit.alpha:
        event_values = _event_values(answers, resolution.vocab, settings)
    shaped = shape_advantages(
        _padded(answers.advantages),
        _padded(answers.masks),
        resolution,
        erased=settings.erased_tokens,
        event_values=event_values,
        pay=pay,
        alpha=credit.alpha,
        replaces=credit.replaces,
    )
    if credit.share < 1:
        lengths = resolution.raw_length.tolist()
        shaped = shaped * sampled_actions(
            answers.keys, lengths, share=credit.share, first=credit.first, step=step
        )
    return shaped, event_values


def _changes(shaped: Tensor, answers: Answers, resolution: Resolution, erased: ErasedTokens) -> Tensor:
    """Which unmasked actions have another advantage than without credit, Bool[B, T]."""
    masks = _padded(answers.masks)
    without = shape_advantages(_padded(answers.advantages), masks, resolution, erased=erased)
    return ((shaped - without).abs() > ROUNDING) & (masks != 0)


def _event_values(answers: Answers, vocab: EditVocab, settings: Settings) -> list[list[EventValue]]:
    by_group = BY_GROUP.get(settings.credit.values)
    if by_group is not None:
        return by_group(answers.responses, answers.prompts, answers.rewards, vocab)
    judged = []
    for key, info in zip(answers.keys, answers.infos, strict=True):
        event_values = json.loads(info.get("moves", "null"))
        if event_values is None:
            raise DataError(
                f"Nothing judged the states of the answer {key}, but halluc.credit.alpha pays for them.",
                "Use reward.reward_manager.name=backtrack and data whose verifier judges prefixes, "
                "++halluc.values.source=continuations, or "
                f"++halluc.credit.values={' or '.join(BY_GROUP)}.",
            )
        judged.append([EventValue(before, after) for before, after in event_values])
    return judged


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
