"""SequenceMatch (C. Cundy and S. Ermon, arXiv 2306.05426): match occupancies instead of next tokens.

Writing a response is an MDP with deterministic steps: a state is the live text, an action a token or an edit.
Logits are soft Q-values, Q(s, a) = logit, V(s) = log Σ_a exp Q(s, a), the policy is their softmax, and

    r(s, a) = Q(s, a) - γ V(s')

is the reward for which it is soft-optimal. After EOS comes an absorbing state with one action, so that there
r = (1 - γ) V. With ρ_d the discounted occupancy of the data and ρ that of the policy, the saddle point

    max_r min_π  E_ρd[φ(r)] - E_ρ[r] - H(π)        (H: discounted causal entropy)

is, in Q, the concave maximum of E_ρd[φ(r)] - (1 - γ) V(s_0): inverse soft Q-learning (D. Garg et al.,
arXiv 2106.12142). φ says which divergence of ρ from ρ_d is minimised, in addition to -H:

    φ(r) = 1 - exp(-r)      KL(ρ ‖ ρ_d)
    φ(r) = r - r²/4         χ²(ρ ‖ ρ_d)
    φ(r) = r, less ½ E_m[r²] with m = ½ ρ_d + ½ ρ      χ²-mixture

Along one response γ^t (V_t - γ V_t+1), summed with the absorbing tail γ^N V_N, telescopes to V_0: so the
data's own responses may stand for the last term, and for φ(r) = r the loss is the discounted log-likelihood.
The χ²-mixture is thus likelihood and a penalty on r², half of it on responses of the model.

What the χ²-mixture minimises: with ρ held fixed in the penalty, as it is when responses come from a buffer,
its fixed point has r = 2 (ρ_d - ρ) / (ρ_d + ρ), and that is the minimum of 4 KL(ρ_d ‖ m) - H. (With ρ varied
in the penalty too, as in the χ² that it is named after, it would be 2 χ²(ρ_d ‖ m) - H.) Both are finite
wherever the data are, whatever the model does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import torch

from halluc_plugin.errors import TraceError

Tail = Callable[[torch.Tensor], torch.Tensor]


class Divergence(StrEnum):
    """The divergence of the policy's occupancy from the data's that is minimised, with negative entropy."""

    KL = "kl"
    CHI2 = "chi2"
    CHI2_MIXTURE = "chi2-mixture"


@dataclass(frozen=True)
class Trajectories:
    """A policy's Q- and V-values of B responses of width T.

    Attributes:
        q: Logit of each action, Float[B, T].
        v: Log-sum-exp of the logits before each action, and after the last one of each response, Float[B, T +
            1].
        valid: Which positions hold an action, Bool[B, T]; they come first.
        imitated: Which actions are the policy's, Bool[B, T]. The others happened to it (noise): they take
            part in nothing, as if the text had changed by itself.
        ended: Whether each response ended by EOS, Bool[B]. What follows a response that was cut off is not
            known, and nothing is added for it.
        weights: How much each response counts, Float[B].
    """

    q: torch.Tensor
    v: torch.Tensor
    valid: torch.Tensor
    imitated: torch.Tensor
    ended: torch.Tensor
    weights: torch.Tensor

    def __post_init__(self) -> None:
        rows, width = self.q.shape
        shapes = {
            "v": (self.v, (rows, width + 1)),
            "valid": (self.valid, (rows, width)),
            "imitated": (self.imitated, (rows, width)),
            "ended": (self.ended, (rows,)),
            "weights": (self.weights, (rows,)),
        }
        for name, (tensor, shape) in shapes.items():
            if tuple(tensor.shape) != shape:
                raise TraceError(
                    f"{name} has shape {tuple(tensor.shape)}, not {shape}.", "Pass one for each action."
                )

    def split(self, rows: int) -> tuple["Trajectories", "Trajectories"]:
        """Return the first ``rows`` rows, and the others."""
        fields = (self.q, self.v, self.valid, self.imitated, self.ended, self.weights)
        first, rest = zip(*((field[:rows], field[rows:]) for field in fields), strict=True)
        return Trajectories(*first), Trajectories(*rest)


@dataclass(frozen=True)
class MatchLoss:
    """A loss and its parts, each a scalar per discounted action of the data.

    Attributes:
        loss: The quantity to minimise.
        value: V - γ V' over the data; it telescopes to V_0 if all actions are imitated and all responses
            ended.
        matched: E_ρd[φ(r)].
        penalty: ½ E_m[r²] of the χ²-mixture, 0 otherwise.
    """

    loss: torch.Tensor
    value: torch.Tensor
    matched: torch.Tensor
    penalty: torch.Tensor


def sequence_match_loss(
    data: Trajectories,
    model: Trajectories | None = None,
    *,
    gamma: float,
    divergence: Divergence = Divergence.CHI2_MIXTURE,
) -> MatchLoss:
    """Return the negative of the objective of the module docstring, over responses.

    Args:
        data: The responses of the data.
        model: The policy's responses, for the χ²-mixture; no gradient flows through how likely they were.
        gamma: The discount γ, in [0, 1).
        divergence: The divergence to minimise.

    Returns:
        The loss: a sum over responses, in which each action at t is weighted by γ^t and the absorbing state
        by γ^N / (1 - γ), divided by the sum of γ^t over the data's imitated actions.

    Raises:
        TraceError: γ is not in [0, 1), or responses of the policy are missing, or given to a divergence that
            does not use them.
    """
    if not 0 <= gamma < 1:
        raise TraceError(f"gamma is {gamma}.", "Give a number of at least 0 and below 1.")
    if (model is not None) != (divergence is Divergence.CHI2_MIXTURE):
        raise TraceError(
            f"The divergence is {divergence}, with{'out' if model is None else ''} responses of the policy.",
            "Pass them for chi2-mixture, and for it alone.",
        )
    steps = _discounted(data, gamma)
    scale = steps.sum()
    falls = data.v[:, :-1] - gamma * data.v[:, 1:]
    value = _expect(data, gamma, falls, lambda last: (1 - gamma) * last) / scale
    matched = _expect_of_rewards(data, gamma, divergence) / scale
    penalty = torch.zeros_like(matched)
    if model is not None:
        # Both halves as means over responses: buffer and batch need not have one size.
        of_model = _squares(model, gamma) / model.weights.sum() * data.weights.sum()
        penalty = 0.25 * (_squares(data, gamma) + of_model) / scale
    return MatchLoss(value - matched + penalty, value, matched, penalty)


def imitation_loss(data: Trajectories) -> torch.Tensor:
    """Return the mean negative log-likelihood of the imitated actions, in nats."""
    counted = data.imitated & data.valid
    nll = (data.v[:, :-1] - data.q).masked_fill(~counted, 0)
    return (nll.sum(1) * data.weights).sum() / (counted.sum(1) * data.weights).sum()


def rewards(trajectories: Trajectories, gamma: float) -> torch.Tensor:
    """Return the reward r of each action, Float[B, T]; the values at padding have no meaning."""
    return trajectories.q - gamma * trajectories.v[:, 1:]


def _counted_rewards(trajectories: Trajectories, gamma: float) -> torch.Tensor:
    """0 where nothing counts, before exp can overflow there."""
    return rewards(trajectories, gamma).masked_fill(~(trajectories.imitated & trajectories.valid), 0)


def _phi(divergence: Divergence, reward: torch.Tensor) -> torch.Tensor:
    if divergence is Divergence.KL:
        return 1 - torch.exp(-reward)
    return reward - reward.square() / 4 if divergence is Divergence.CHI2 else reward


def _expect_of_rewards(trajectories: Trajectories, gamma: float, divergence: Divergence) -> torch.Tensor:
    of_steps = _phi(divergence, _counted_rewards(trajectories, gamma))
    return _expect(trajectories, gamma, of_steps, lambda last: _phi(divergence, (1 - gamma) * last))


def _squares(trajectories: Trajectories, gamma: float) -> torch.Tensor:
    of_steps = _counted_rewards(trajectories, gamma).square()
    return _expect(trajectories, gamma, of_steps, lambda last: ((1 - gamma) * last).square())


def _expect(trajectories: Trajectories, gamma: float, of_steps: torch.Tensor, of_tail: Tail) -> torch.Tensor:
    """Σ γ^t of the steps and γ^N / (1 - γ) of the absorbing state, over all responses."""
    lengths = trajectories.valid.sum(1)
    last = trajectories.v.gather(1, lengths[:, None]).squeeze(1)
    tail = of_tail(last) * gamma**lengths / (1 - gamma) * trajectories.ended * trajectories.weights
    steps = (of_steps * _discounted(trajectories, gamma)).masked_fill(~trajectories.valid, 0)
    return steps.sum() + tail.sum()


def _discounted(trajectories: Trajectories, gamma: float) -> torch.Tensor:
    """Float[B, T], γ^t at imitated actions, times the weight of the response; 0 elsewhere."""
    time = torch.arange(trajectories.q.shape[1], device=trajectories.q.device)
    counted = trajectories.imitated & trajectories.valid
    return gamma**time * counted * trajectories.weights[:, None]
