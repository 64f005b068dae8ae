"""Where verl's advantages of whole answers become ours of single actions.

verl's estimators see neither ids nor columns of ours, whatever their name. So the trainer lets them do their
part, group-relative or any other, and shapes what they return; this module does it, from and to
TransferQueue's columns.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halluc_plugin.credit import Move, prefix_tree_moves, shape_advantages
from halluc_plugin.edits import EditVocab, Resolution, resolve
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError
from halluc_plugin.settings import CreditValues, Settings

COLUMNS = ("responses", "response_mask", "advantages", "rm_scores", "extra_fields")


@dataclass(frozen=True)
class Answers:
    """The answers of a step, without the rows that verl adds to fill a batch.

    Attributes:
        keys: verl's keys, ``UID_SESSION_INDEX``.
        responses: Raw traces.
        masks: Number[T] each.
        advantages: Float[T] each, as the estimator returned them.
        rewards: Of whole answers.
        infos: The reward manager's ``reward_extra_info``.
    """

    keys: Sequence[str]
    responses: Sequence[list[int]]
    masks: Sequence[Tensor]
    advantages: Sequence[Tensor]
    rewards: Sequence[float]
    infos: Sequence[Mapping[str, Any]]

    @property
    def prompts(self) -> list[str]:
        """Which prompt each answers."""
        return [prompt_of(key) for key in self.keys]


def prompt_of(key: str) -> str:
    """The prompt's part of verl's key of an answer."""
    return key.rsplit("_", 2)[0]


def shapes_actions(settings: Settings) -> bool:
    """Whether single actions are paid other than their answer's advantage."""
    return settings.erased_tokens is ErasedTokens.NEGATIVE or settings.credit.alpha != 0


def shape(answers: Answers, vocab: EditVocab, settings: Settings) -> tuple[list[Tensor], dict[str, float]]:
    """The advantages of every action.

    Args:
        answers: Of a step.
        vocab: Which ids edit.
        settings: Of the step.

    Returns:
        Float[T] for each answer; and under ``backtrack/`` what edits were paid: ``event_gain``, the mean Δ of
        an event, and ``degenerate/credit``, the share of prompts whose advantages the credit does not change.

    Raises:
        DataError: Edits are to be paid by judged values, and an answer has none.
    """
    resolution = _resolved(answers.responses, vocab)
    moves = _moves(answers, vocab, settings) if settings.credit.alpha else None
    masks, advantages = _padded(answers.masks), _padded(answers.advantages)
    alpha, erased = settings.credit.alpha, settings.erased_tokens
    shaped = shape_advantages(advantages, masks, resolution, erased=erased, moves=moves, alpha=alpha)
    rows = [row[: len(ids)] for row, ids in zip(shaped, answers.responses, strict=True)]
    return rows, _metrics(answers.prompts, moves)


def _moves(answers: Answers, vocab: EditVocab, settings: Settings) -> list[list[Move]]:
    if settings.credit.values is CreditValues.PREFIX_TREE:
        return prefix_tree_moves(answers.responses, answers.prompts, answers.rewards, vocab)
    judged = []
    for key, info in zip(answers.keys, answers.infos, strict=True):
        moves = json.loads(info.get("moves", "null"))
        if moves is None:
            raise DataError(
                f"Nothing judged the states of the answer {key}, but halluc.credit.alpha pays for them.",
                "Use reward.reward_manager.name=backtrack and data whose verifier judges prefixes, "
                "halluc.values.source=continuations, or halluc.credit.values=prefix_tree.",
            )
        judged.append([Move(before, after) for before, after in moves])
    return judged


def _metrics(prompts: Sequence[str], moves: Sequence[Sequence[Move]] | None) -> dict[str, float]:
    if moves is None:
        return {}
    gains = [move.gain for row in moves for move in row]
    paid = {prompt for prompt, row in zip(prompts, moves, strict=True) if any(move.gain for move in row)}
    degenerate = {"backtrack/degenerate/credit": 1 - len(paid) / len(set(prompts))}
    return degenerate | ({"backtrack/event_gain": sum(gains) / len(gains)} if gains else {})


def _resolved(responses: Sequence[Sequence[int]], vocab: EditVocab) -> Resolution:
    ids = _padded([torch.tensor(response, dtype=torch.long) for response in responses])
    lengths = torch.tensor([len(response) for response in responses])
    return resolve(ids, torch.arange(ids.shape[1]) < lengths[:, None], vocab)


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
