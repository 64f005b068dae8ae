"""Preference losses against their printed formulas in plain floats, their gradients, and what is refused."""

import math

import pytest
import torch

from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.losses.preference import (
    Preference,
    PreferenceSettings,
    Sides,
    imitation_loss,
    preference_loss,
)

# Three pairs: sums of log-probs of policy and reference, numbers of counted tokens.
CHOSEN, REJECTED = (-2.0, -7.5, -0.25), (-3.0, -4.0, -6.5)
REF_CHOSEN, REF_REJECTED = (-2.5, -6.0, -1.0), (-2.75, -5.5, -5.0)
COUNTS = ((2, 5, 1), (4, 3, 6))
MISMATCHED = (0.5, -0.25, 1.25)


def tensor(values, *, grad=False):
    """Float64, so that finite differences are exact enough."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=grad)


def loss_of(settings, chosen, rejected):
    """The losses of the three pairs, with what the loss needs and nothing else."""
    reference = Sides(tensor(REF_CHOSEN), tensor(REF_REJECTED)) if settings.needs_reference else None
    mismatched = tensor(MISMATCHED) if settings.loss is Preference.KTO else None
    counts = Sides(*map(tensor, COUNTS))
    return preference_loss(
        settings, Sides(chosen, rejected), counts=counts, reference=reference, mismatched=mismatched
    )


def sigmoid(x):
    """The logistic function in plain floats."""
    return 1 / (1 + math.exp(-x))


def by_hand(loss, number, beta, gamma):
    """The loss of one pair, written from the paper."""
    r_w, r_l = CHOSEN[number] - REF_CHOSEN[number], REJECTED[number] - REF_REJECTED[number]
    if loss is Preference.DPO:
        return -math.log(sigmoid(beta * r_w - beta * r_l))
    if loss is Preference.IPO:
        return (r_w - r_l - 1 / (2 * beta)) ** 2
    if loss is Preference.KTO:
        z = max(0.0, sum(MISMATCHED) / len(MISMATCHED))
        return ((1 - sigmoid(beta * (r_w - z))) + (1 - sigmoid(beta * (z - r_l)))) / 2
    per_token = [
        sums[number] / counts[number] for sums, counts in zip((CHOSEN, REJECTED), COUNTS, strict=True)
    ]
    return -math.log(sigmoid(beta * per_token[0] - beta * per_token[1] - gamma))


@pytest.mark.parametrize("loss", list(Preference))
@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_losses_are_the_printed_ones(loss, beta):
    """Each pair's loss is that of the paper's equation, computed in plain floats."""
    gamma = 0.7 if loss is Preference.SIMPO else None
    settings = PreferenceSettings(loss, beta, gamma)
    found = loss_of(settings, tensor(CHOSEN), tensor(REJECTED)).losses
    assert found.tolist() == pytest.approx([by_hand(loss, i, beta, gamma) for i in range(3)], rel=1e-12)


def test_values_by_hand():
    """Where policy and reference agree DPO is log 2, IPO 1 / 4τ², KTO one half; SimPO has its margin."""
    same, counts = Sides(tensor([-3.0]), tensor([-5.0])), Sides(tensor([2]), tensor([4]))
    found = {
        loss: preference_loss(
            PreferenceSettings(loss, 0.5, 0.25 if loss is Preference.SIMPO else None),
            same,
            counts=counts,
            reference=None if loss is Preference.SIMPO else same,
            mismatched=tensor([0.0]) if loss is Preference.KTO else None,
        ).losses.item()
        for loss in Preference
    }
    assert found == {
        Preference.DPO: pytest.approx(math.log(2)),
        Preference.IPO: pytest.approx(1.0),
        Preference.KTO: pytest.approx(0.5),
        # 0.5 * (-1.5 + 1.25) - 0.25 = -0.375
        Preference.SIMPO: pytest.approx(math.log(1 + math.exp(0.375))),
    }


@pytest.mark.parametrize("loss", list(Preference))
def test_gradients_are_those_of_finite_differences(loss):
    """Autograd's gradient of each side equals that of small steps, and pushes the sides apart."""
    settings = PreferenceSettings(loss, 0.3)
    chosen, rejected = tensor(CHOSEN, grad=True), tensor(REJECTED, grad=True)
    assert torch.autograd.gradcheck(lambda *sides: loss_of(settings, *sides).losses, (chosen, rejected))
    if loss is not Preference.IPO:  # which turns round beyond its target
        loss_of(settings, chosen, rejected).losses.sum().backward()
        assert (chosen.grad < 0).all()
        assert (rejected.grad > 0).all()


def test_kto_takes_no_gradient_through_the_divergence_and_none_below_zero():
    """Mismatched responses move the value, but are not trained; a negative mean counts as 0."""
    settings = PreferenceSettings(Preference.KTO, 1.0)
    ratios, zero = Sides(tensor([1.0]), tensor([-1.0])), Sides(tensor([0.0]), tensor([0.0]))
    counts, mismatched = Sides(tensor([1]), tensor([1])), tensor([2.0], grad=True)

    def loss(of):
        return preference_loss(settings, ratios, counts=counts, reference=zero, mismatched=of).losses

    assert loss(mismatched).item() == pytest.approx(1 - (sigmoid(-1) + sigmoid(3)) / 2)
    assert not loss(mismatched).requires_grad
    assert loss(tensor([-2.0])).item() == loss(tensor([0.0])).item() == pytest.approx(1 - sigmoid(1))


@pytest.mark.parametrize("loss", [Preference.DPO, Preference.IPO])
def test_a_shared_beginning_cancels(loss):
    """Log-probs added to both sides, of policy and of reference, change neither loss nor gradient."""
    settings, found = PreferenceSettings(loss, 0.4), []
    for policys, references in ((0.0, 0.0), (-11.0, -13.0)):
        chosen, rejected = tensor(CHOSEN, grad=True), tensor(REJECTED, grad=True)
        losses = preference_loss(
            settings,
            Sides(chosen + policys, rejected + policys),
            counts=Sides(*map(tensor, COUNTS)),
            reference=Sides(tensor(REF_CHOSEN) + references, tensor(REF_REJECTED) + references),
        ).losses
        losses.sum().backward()
        found.append(torch.stack([losses.detach(), chosen.grad, rejected.grad]))
    torch.testing.assert_close(*found)


def test_rewards_are_scaled_log_ratios_or_means():
    """The implicit reward is β r, and for SimPO β times the mean log-prob; neither has a gradient."""
    dpo = loss_of(PreferenceSettings(Preference.DPO, 0.5), tensor(CHOSEN, grad=True), tensor(REJECTED))
    assert dpo.rewards.chosen.tolist() == pytest.approx([0.25, -0.75, 0.375])
    assert not dpo.rewards.chosen.requires_grad
    simpo = loss_of(PreferenceSettings(Preference.SIMPO, 2.0), tensor(CHOSEN), tensor(REJECTED))
    assert simpo.rewards.rejected.tolist() == pytest.approx([-1.5, -8 / 3, -13 / 6])


@pytest.mark.parametrize("beta", [0.0, -0.1, float("nan"), float("inf")])
def test_a_scale_that_is_not_positive_is_refused(beta):
    """One line names β and a number that would do."""
    with pytest.raises(SettingsError, match=r"beta is .*above 0, such as 0.1 for dpo"):
        PreferenceSettings(Preference.DPO, beta)


@pytest.mark.parametrize(("loss", "gamma"), [(Preference.DPO, 0.5), (Preference.SIMPO, -1.0)])
def test_a_margin_that_means_nothing_is_refused(loss, gamma):
    """The margin is SimPO's, and at least 0."""
    with pytest.raises(SettingsError, match="gamma"):
        PreferenceSettings(loss, gamma=gamma)


def test_defaults_are_those_of_the_loss():
    """DPO, IPO and KTO have 0.1; SimPO 2 and a margin of 1; a given value stands."""
    found = [PreferenceSettings(loss) for loss in Preference]
    assert [(one.scale, one.margin) for one in found] == [(0.1, 0), (0.1, 0), (0.1, 0), (2, 1)]
    assert PreferenceSettings(Preference.SIMPO, 3.0, 0.0).margin == 0


def test_what_does_not_belong_to_a_loss_is_refused():
    """A missing reference, one for SimPO, mismatched responses for DPO, and a side without tokens."""
    sides, counts = Sides(tensor([-1.0]), tensor([-2.0])), Sides(tensor([1]), tensor([1]))
    for settings, given in (
        (PreferenceSettings(Preference.DPO), {}),
        (PreferenceSettings(Preference.SIMPO), {"reference": sides}),
        (PreferenceSettings(Preference.DPO), {"reference": sides, "mismatched": tensor([0.0])}),
        (PreferenceSettings(Preference.KTO), {"reference": sides}),
    ):
        with pytest.raises(TraceError, match="Pass a reference to all but simpo"):
            preference_loss(settings, sides, counts=counts, **given)
    empty = Sides(tensor([1]), tensor([0]))
    with pytest.raises(TraceError, match="no counted token"):
        preference_loss(PreferenceSettings(), sides, counts=empty, reference=sides)


def test_imitation_is_a_mean_over_imitated_tokens():
    """The negative sums over the numbers of imitated tokens: 2 / 2, 7.5 / 5, 0.25 / 1."""
    found = imitation_loss(tensor(CHOSEN), tensor(COUNTS[0]))
    assert found.tolist() == [1.0, 1.5, 0.25]
