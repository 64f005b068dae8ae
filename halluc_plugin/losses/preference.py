"""Preference losses: of two responses to one prompt, the chosen one is to become the likelier one.

All are functions of sums of log-probs. A sum runs over the counted tokens of a side, n of them: those that
are imitated (:func:`halluc_plugin.edits.builders.response_mask`) and stand behind the shared beginning of the
two sides. With x the prompt and that beginning, y_w and y_l what follows in the chosen and in the rejected
side, π the policy, π_ref the reference and r(y) = log π(y|x) - log π_ref(y|x):

    DPO     -log σ(β (r(y_w) - r(y_l)))                            eq. 7 of arXiv 2305.18290
    IPO     (r(y_w) - r(y_l) - 1 / (2τ))²                          eq. 17 of arXiv 2310.12036
    KTO     ½ [1 - σ(β (r(y_w) - z))] + ½ [1 - σ(β (z - r(y_l)))]  eq. 8 of arXiv 2402.01306, λ_D = λ_U = 1
    SimPO   -log σ(β log π(y_w|x) / n_w - β log π(y_l|x) / n_l - γ)     eq. 6 of arXiv 2405.14734

Length normalisation: SimPO alone divides by n, as printed. DPO, IPO and KTO are of sums. (Some
implementations of IPO divide by n; τ is then in units per token.)

In KTO z = max(0, mean of r over mismatched prompts and responses of the batch) stands for the KL divergence
of π from π_ref; no gradient flows through it. With pairs there are as many desirable as undesirable
responses, for which the paper's rule for the λ allows both to be 1.

The beginning that both sides share cancels in r(y_w) - r(y_l), so that DPO and IPO have the same value and
gradient with it or without it, but for tokens that only one side takes back. In KTO and SimPO it would not
cancel, and is left out as part of the prompt, as in step-level preference optimization (arXiv 2406.10858).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid

from halluc_plugin.errors import SettingsError, TraceError


class Preference(StrEnum):
    """The loss that a preference is learned by."""

    DPO = "dpo"
    IPO = "ipo"
    KTO = "kto"
    SIMPO = "simpo"


BETAS = {Preference.DPO: 0.1, Preference.IPO: 0.1, Preference.KTO: 0.1, Preference.SIMPO: 2.0}
"""The value of β (τ of IPO) of each loss unless another one is given."""

GAMMA = 1.0
"""The margin γ of SimPO unless another one is given: half of its β."""


class Sides(NamedTuple):
    """A number for each side of N pairs.

    Attributes:
        chosen: Numbers of the chosen sides, Float[N].
        rejected: Numbers of the rejected sides, Float[N].
    """

    chosen: torch.Tensor
    rejected: torch.Tensor

    @property
    def difference(self) -> torch.Tensor:
        """Chosen minus rejected, Float[N]."""
        return self.chosen - self.rejected

    def minus(self, other: "Sides") -> "Sides":
        """Return the differences from other numbers, side by side."""
        return Sides(self.chosen - other.chosen, self.rejected - other.rejected)


@dataclass(frozen=True)
class PreferenceSettings:
    """The loss of a preference and its constants.

    Args:
        loss: The loss.
        beta: The scale β of rewards, τ of IPO; None for the loss's own default.
        gamma: The margin γ of SimPO; None for its default, and for the other losses.

    Raises:
        SettingsError: β is not above 0, γ is below 0, or γ is given to a loss without a margin.
    """

    loss: Preference = Preference.DPO
    beta: float | None = None
    gamma: float | None = None

    def __post_init__(self) -> None:
        if self.beta is not None and not 0 < self.beta < float("inf"):
            raise SettingsError(
                f"beta is {self.beta}.", f"Give a number above 0, such as {BETAS[self.loss]} for {self.loss}."
            )
        if self.gamma is not None and self.loss is not Preference.SIMPO:
            raise SettingsError(
                f"A margin (gamma) is given, which only simpo has, and the loss is {self.loss}.",
                "Leave it out, or choose simpo.",
            )
        if self.gamma is not None and not 0 <= self.gamma < float("inf"):
            raise SettingsError(f"The margin (gamma) is {self.gamma}.", "Give a number of at least 0.")

    @property
    def scale(self) -> float:
        """The value of β (τ of IPO) that is used."""
        return BETAS[self.loss] if self.beta is None else self.beta

    @property
    def margin(self) -> float:
        """The value of γ that is used; 0 for losses without a margin."""
        if self.loss is not Preference.SIMPO:
            return 0.0
        return GAMMA if self.gamma is None else self.gamma

    @property
    def needs_reference(self) -> bool:
        """Whether the loss compares with a reference model."""
        return self.loss is not Preference.SIMPO


@dataclass(frozen=True)
class PreferenceLoss:
    """The losses of N pairs.

    Attributes:
        losses: The loss of each pair, Float[N].
        rewards: The implicit reward of each side without gradients: β r(y), for SimPO β log π(y|x) / n.
    """

    losses: torch.Tensor
    rewards: Sides


def dpo_loss(ratios: Sides, beta: float) -> torch.Tensor:
    """Return the DPO loss of each pair, Float[N].

    Args:
        ratios: The log-ratios r(y) of the sides.
        beta: The scale β.
    """
    return -logsigmoid(beta * ratios.difference)


def ipo_loss(ratios: Sides, tau: float) -> torch.Tensor:
    """Return the IPO loss of each pair, Float[N].

    Args:
        ratios: The log-ratios r(y) of the sides.
        tau: The strength τ of the regularisation.
    """
    return (ratios.difference - 1 / (2 * tau)).square()


def kto_loss(ratios: Sides, mismatched: torch.Tensor, beta: float) -> torch.Tensor:
    """Return the KTO loss of each pair, the mean of its two sides' losses, Float[N].

    Args:
        ratios: The log-ratios r(y) of the sides.
        mismatched: The log-ratios of M responses after prompts that they do not answer, Float[M].
        beta: The scale β.
    """
    divergence = mismatched.detach().mean().clamp(min=0)
    chosen = 1 - torch.sigmoid(beta * (ratios.chosen - divergence))
    rejected = 1 - torch.sigmoid(beta * (divergence - ratios.rejected))
    return (chosen + rejected) / 2


def simpo_loss(means: Sides, beta: float, gamma: float) -> torch.Tensor:
    """Return the SimPO loss of each pair, Float[N].

    Args:
        means: The mean log-prob of a counted token of each side, log π(y|x) / n.
        beta: The scale β.
        gamma: The margin γ.
    """
    return -logsigmoid(beta * means.difference - gamma)


def preference_loss(
    settings: PreferenceSettings,
    policy: Sides,
    *,
    counts: Sides,
    reference: Sides | None = None,
    mismatched: torch.Tensor | None = None,
) -> PreferenceLoss:
    """Return the losses of N pairs by the settings.

    Args:
        settings: The loss and its constants.
        policy: Sums of the policy's log-probs over the counted tokens of each side, in nats.
        counts: The number n of counted tokens of each side, at least 1.
        reference: The same sums of the reference; None for SimPO, and for it alone.
        mismatched: Log-ratios of mismatched prompts and responses, Float[M]; for KTO alone.

    Raises:
        TraceError: A side has no counted token, or what the loss needs is missing, or what it does not use is
            given.
    """
    if (reference is None) is settings.needs_reference or (mismatched is None) is (
        settings.loss is Preference.KTO
    ):
        raise TraceError(
            f"{settings.loss} with{'out' if reference is None else ''} a reference and with"
            f"{'out' if mismatched is None else ''} mismatched responses.",
            "Pass a reference to all but simpo, and mismatched responses to kto alone.",
        )
    if any(bool((count < 1).any()) for count in counts):
        raise TraceError("A side of a pair has no counted token.", "Drop the pair.")
    beta = settings.scale
    if reference is None:
        means = Sides(policy.chosen / counts.chosen, policy.rejected / counts.rejected)
        return PreferenceLoss(simpo_loss(means, beta, settings.margin), _rewards(means, beta))
    ratios = policy.minus(reference)
    if mismatched is not None:
        losses = kto_loss(ratios, mismatched, beta)
    else:
        losses = (dpo_loss if settings.loss is Preference.DPO else ipo_loss)(ratios, beta)
    return PreferenceLoss(losses, _rewards(ratios, beta))


def imitation_loss(chosen: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Return the mean negative log-likelihood of an imitated token of each chosen side, Float[N].

    It is the second term of Pang et al., "Iterative Reasoning Preference Optimization" (arXiv 2404.19733),
    which keeps chosen sides from becoming less likely. The beginning that both sides share is imitated, too,
    unless it is taken back: nothing else holds the policy there, and without it small models forget it.

    Args:
        chosen: Sums of the policy's log-probs over the imitated tokens of chosen sides, Float[N], in nats.
        counts: The number of imitated tokens of each, at least 1.
    """
    return -chosen / counts


def _rewards(values: Sides, beta: float) -> Sides:
    return Sides(*(beta * value.detach() for value in values))
