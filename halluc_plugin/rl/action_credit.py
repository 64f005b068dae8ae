"""Pay all actions of a step's answers, text too, as ``halluc.credit`` says."""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from halluc_plugin.credit import EventValue, pay_actions
from halluc_plugin.edits import Resolution
from halluc_plugin.errors import DataError
from halluc_plugin.rewards import Marks
from halluc_plugin.rewards.states import States, states_of
from halluc_plugin.settings import CreditSettings


def action_pay(
    resolution: Resolution,
    prompts: Sequence[Hashable],
    rewards: Sequence[float],
    infos: Sequence[Mapping[str, Any]],
    *,
    credit: CreditSettings,
    marks: Marks,
) -> Tensor:
    """Return what every action is paid, in units of value.

    Args:
        resolution: B answers of width T, padded on the right.
        prompts: The key of each answer's prompt, the same within a group.
        rewards: The reward of each answer.
        infos: The :func:`halluc_plugin.rl.answers.reward_info` of each answer.
        credit: The settings of the credit; its units are actions or steps.
        marks: The ids that end steps and answers.

    Returns:
        Double[B, T].

    Raises:
        DataError: Values after steps or actions are credited, and an answer has none.
    """
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    states = None
    if credit.divides_steps:
        states = [states_of(resolution, row, marks) for row in range(len(prompts))]
    known = None
    if credit.judged_steps and states is not None:
        lengths = resolution.raw_length.tolist()
        known = [_known(*row) for row in zip(states, lengths, infos, strict=True)]
    elif credit.reads_actions:
        known = [_known_actions(info) for info in infos]
    return pay_actions(
        resolution,
        torch.tensor([numbers[prompt] for prompt in prompts], dtype=torch.long),
        torch.tensor(rewards, dtype=torch.float64),
        form=credit.form,
        places=None if states is None else [found.positions() for found in states],
        known=known,
    )


def _known_actions(info: Mapping[str, Any]) -> dict[int, float]:
    actions = json.loads(info.get("actions", "null"))
    if actions is None:
        raise DataError(
            "Nothing gave the actions of an answer a value, but halluc.credit.form=q pays for them.",
            "Use reward.reward_manager.name=backtrack and a scorer, ++halluc.values.source=prm.",
        )
    # A state without text is worth what the other answers are, whatever stands here.
    return {at: 0.0 if value is None else value for at, value in enumerate(actions, 1)}


def _known(states: States, length: int, info: Mapping[str, Any]) -> dict[int, float]:
    event_values, steps = (json.loads(info.get(name, "null")) for name in ("moves", "steps"))
    if event_values is None or steps is None:
        raise DataError(
            "Nothing judged the states after the steps of an answer, but halluc.credit.units=steps pays for "
            "them.",
            "Use reward.reward_manager.name=backtrack and data whose verifier judges prefixes, or "
            "++halluc.values.source=continuations or prm.",
        )
    return states.known(length, [EventValue(*pair) for pair in event_values], steps)
