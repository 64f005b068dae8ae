"""Compute advantages of two attempts in turns from what a host keeps of a step's answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halluc_plugin.credit import group_relative, held_advantages, pay_turns, spread_turns
from halluc_plugin.errors import DataError
from halluc_plugin.settings.blocks import TurnSettings


@dataclass(frozen=True)
class Turns:
    """The answers of a step, B of them with T actions each.

    Attributes:
        prompts: The key of each answer's prompt, the same within a group.
        turns: The end of the first attempt, and the beginning of the second one, of each answer; None where
            something else than two turns was sampled.
        masks: Nonzero for the actions that contribute to the loss, Number[T] each.
        infos: The :func:`halluc_plugin.rl.answers.reward_info` of each answer.
    """

    prompts: Sequence[str]
    turns: Sequence[tuple[int, int] | None]
    masks: Sequence[Tensor]
    infos: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class LogProbs:
    """The log-probs of the sampled actions, Float[T] for each answer.

    Attributes:
        now: Those of the policy that sampled.
        start: Those of the model that the run began with.
    """

    now: Sequence[Tensor]
    start: Sequence[Tensor]


def turn_advantages(
    answers: Turns, settings: TurnSettings, log_probs: LogProbs | None, *, normalize_by_std: bool
) -> list[Tensor]:
    """Return the advantage of each action, Float[T] for each answer; the request has 0.

    A turn's pay (:func:`halluc_plugin.credit.pay_turns`) is relative to that of the same turn in its group.

    Args:
        answers: The answers.
        settings: The stage, its bonus and what it holds.
        log_probs: What the divergence from the start is estimated from; needed if anything is held.
        normalize_by_std: Whether to divide by the group's standard deviation.

    Raises:
        DataError: An answer has no two turns, the outcome of its first attempt was not judged, or log-probs
            are missing.
    """
    if settings.stage is None:
        raise DataError("No stage pays turns.", "Set halluc.turns.stage.")
    right = torch.tensor([_outcomes(info) for info in answers.infos], dtype=torch.float64)
    order = {prompt: number for number, prompt in enumerate(dict.fromkeys(answers.prompts))}
    groups = torch.tensor([order[prompt] for prompt in answers.prompts])
    first, second = (
        group_relative(pay, groups, normalize_by_std=normalize_by_std).tolist()
        for pay in pay_turns(right, settings.stage, settings.alpha).T
    )
    places = [_placed(turns) for turns in answers.turns]
    lengths = [len(mask) for mask in answers.masks]
    rows = [spread_turns(*of) for of in zip(places, lengths, first, second, strict=True)]
    if settings.hold:
        if log_probs is None:
            raise DataError("halluc.turns.hold holds turns, and no reference scored them.", "Ask for one.")
        held = settings.stage.holds(settings.hold)
        weights = [spread_turns(place, length, *held) for place, length in zip(places, lengths, strict=True)]
        rows = held_advantages(rows, weights, log_probs.now, log_probs.start)
    return [row * (mask != 0) for row, mask in zip(rows, answers.masks, strict=True)]


def _placed(turns: tuple[int, int] | None) -> tuple[int, int]:
    if turns is None:
        raise DataError(
            "halluc.turns.stage pays turns, and an answer has none.",
            "Sample with actor_rollout_ref.rollout.agent.default_agent_loop=refine.",
        )
    return turns


def _outcomes(info: Mapping[str, Any]) -> tuple[float, float]:
    """The outcomes of the first and of the second attempt."""
    if "acc_without_edits" not in info:
        raise DataError(
            "halluc.turns.stage pays each attempt, and nothing judged a first one.",
            "Use reward.reward_manager.name=backtrack.",
        )
    return float(info["acc_without_edits"]), float(info["acc"])
