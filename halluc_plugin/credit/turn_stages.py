"""Pay two attempts in turns as SCoRe's two stages do (A. Kumar et al., arXiv 2409.12917).

With y1 and y2 the attempts, r their outcomes, and π_0 the model that a stage begins with:

    stage I     max E[r(y2) - β2 KL(π(. | x) ‖ π_0(. | x))]         eq. 3: the first turn is held
    stage II    max E[r(y1) + r(y2) - β1 KL(π ‖ π_0)]               eq. 4, with the bonus
                α (r(y2) - r(y1)) on the second attempt             section 5.2

Written from memory: that a turn's tokens are paid for their own attempt, so that the bonus does not reward a
wrong first one. The divergence has two estimates with one expected gradient, that of the divergence at each
token's state: the loss ½ (log π - log π_0)² (:mod:`halluc_plugin.rl.turn_rollouts`), and, for a trainer whose
loss is its own, log π - log π_0 taken from the token's advantage (:func:`held_advantages`).
"""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor

from halluc_plugin.errors import TraceError


class TurnStage(StrEnum):
    """A stage of SCoRe."""

    HOLD = "hold"
    """Stage I: the second attempt is trained, the first turn is held to the model that it began with."""
    SHAPE = "shape"
    """Stage II: both attempts are trained, the second one with the bonus."""

    def holds(self, weight: float) -> tuple[float, float]:
        """Return the weight of the divergence at the tokens of the first and of the second turn.

        Args:
            weight: β2 in stage I, β1 in stage II.
        """
        return (weight, 0.0) if self is TurnStage.HOLD else (weight, weight)


def pay_turns(right: Tensor, stage: TurnStage, alpha: float) -> Tensor:
    """Return what the turns of each answer are paid, Float[B, 2].

    Args:
        right: The outcomes of the first and of the second attempt, Float[B, 2].
        stage: The stage.
        alpha: The factor α of the bonus, in stage II.
    """
    before, after = right.unbind(1)
    if stage is TurnStage.HOLD:
        return torch.stack([torch.zeros_like(before), after], dim=1)
    return torch.stack([before, after + alpha * (after - before)], dim=1)


def spread_turns(turns: tuple[int, int], length: int, first: float, second: float) -> Tensor:
    """Return a number for each action, Float[T]: of the first turn, 0 on the request, of the second turn.

    Args:
        turns: The end of the first attempt, and the beginning of the second one.
        length: T, the actions of both with the request.
        first: The number of the first turn.
        second: That of the second turn.

    Raises:
        TraceError: The turns do not lie in the answer, in this order.
    """
    end, begins = turns
    if not 0 <= end <= begins <= length:
        raise TraceError(
            f"The first attempt ends at {end} and the second begins at {begins}, in {length} actions.",
            "Report this with your verl version: the columns of the answer do not fit each other.",
        )
    row = torch.zeros(length)
    row[:end], row[begins:] = first, second
    return row


def held_advantages(
    advantages: Sequence[Tensor],
    weights: Sequence[Tensor],
    log_probs: Sequence[Tensor],
    start_log_probs: Sequence[Tensor],
) -> list[Tensor]:
    """Return advantages less what an action's log-prob has gained on the start's, Float[T] each.

    For actions sampled from π the expected gradient of the second part is that of weight · KL(π ‖ π_0) at
    their states, at the first update on them.

    Args:
        advantages: The advantages of B answers, Float[T] each.
        weights: The weight of the divergence at each action, Float[T] each.
        log_probs: The log-probs of the policy that sampled, Float[T] each.
        start_log_probs: Those of the model that the stage began with, Float[T] each.
    """
    return [
        row - weight * (now - start)
        for row, weight, now, start in zip(advantages, weights, log_probs, start_log_probs, strict=True)
    ]
