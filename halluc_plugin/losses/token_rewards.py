"""T-REG: token rewards that a model makes by itself regularise a preference loss.

This is W. Zhou et al., "T-REG: Preference Optimization with Token-Level Reward Regularization" (arXiv
2412.02685, section 3). A model reads a response behind two opposite prompts, one that asks for a better
answer and one that asks for a worse one; a token that the first makes likelier is a good one:

    r̂_t = σ(log π_ref(y_t | x_better, y_<t) - log π_ref(y_t | x_worse, y_<t)) - ½
    L_reg(y) = - Σ_t β r̂_t log π(y_t | x, y_<t)
    L = L_DPO + α w (L_reg(y_w) + L_reg(y_l)),    w = σ(r(y_l) - r(y_w))

r is DPO's implicit reward, β times the log-ratio; w, which DPO's own gradient has as a factor, and r̂ have no
gradient. The sums run over the counted tokens (:mod:`halluc_plugin.losses.preference`).
"""

from dataclasses import replace

import torch

from halluc_plugin.losses.preference import PreferenceLoss, Sides


def token_rewards(better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
    """Return the reward r̂ of each token, Float[...] in [-½, ½].

    Args:
        better: The token's log-prob behind the prompt that asks for a better answer, Float[...].
        worse: The same behind the prompt that asks for a worse one.
    """
    return torch.sigmoid(better - worse) - 0.5


def regularised(loss: PreferenceLoss, weighted: Sides, *, beta: float, alpha: float) -> PreferenceLoss:
    """Return the losses of pairs with the regulariser added.

    Args:
        loss: The DPO losses of N pairs.
        weighted: The sum of r̂_t log π(y_t) over the counted tokens of each side, with gradients.
        beta: The scale β of the loss.
        alpha: The weight α of the regulariser.
    """
    weight = torch.sigmoid(-loss.rewards.difference)
    return replace(loss, losses=loss.losses - alpha * weight * beta * (weighted.chosen + weighted.rejected))
