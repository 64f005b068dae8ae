"""SequenceMatch's losses against exact occupancies, and their optima against direct minimisation."""

import pytest
import torch

from halluc_plugin.errors import TraceError
from halluc_plugin.losses import Divergence, Trajectories, imitation_loss, sequence_match_loss
from tests.losses.conftest import EOS

GAMMAS = (0.3, 0.5)
LONGEST = 8


def random_policy(mdp, seed, eos=0.0):
    """Float64[S, 3]."""
    logits = torch.randn(mdp.states, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits[:, EOS] += eos
    return logits.softmax(1)


def random_q(mdp, seed):
    """A table of Q-values and the absorbing state's value, both wanting gradients."""
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(mdp.states, 3, generator=generator, dtype=torch.float64).requires_grad_()
    return q, torch.randn((), generator=generator, dtype=torch.float64).requires_grad_()


def trajectories(mdp, responses, q, absorbed):
    """The responses as a policy with these Q-values scores them."""
    width = max(len(actions) for actions, _ in responses)
    values = torch.cat([q.logsumexp(1), absorbed[None]])
    chosen, before, valid, ended = [], [], [], []
    for actions, _ in responses:
        states = [0]
        for action in actions:
            after = mdp.step(states[-1], action)
            states.append(mdp.states if after is None else after)
        padding = width - len(actions)
        chosen.append([s * 3 + a for s, a in zip(states, actions, strict=False)] + [0] * padding)
        before.append(states + [0] * padding)
        valid.append([True] * len(actions) + [False] * padding)
        ended.append(actions[-1] == EOS)
    mask = torch.tensor(valid)
    weights = torch.tensor([chance for _, chance in responses], dtype=q.dtype)
    return Trajectories(
        q.flatten()[torch.tensor(chosen)],
        values[torch.tensor(before)],
        mask,
        mask,
        torch.tensor(ended),
        weights,
    )


def phi(divergence, r):
    """As in the module's docstring."""
    if divergence is Divergence.KL:
        return 1 - torch.exp(-r)
    return r - r**2 / 4 if divergence is Divergence.CHI2 else r


def exact_loss(mdp, divergence, q, absorbed, *, data, model, gamma):
    """By occupancies alone, in their units: ``data`` and ``model`` are those of texts and absorbing state."""
    r, tail = mdp.rewards(q, absorbed, gamma)

    def expect(occupancy, function):
        return (occupancy[0] * function(r)).sum() + occupancy[1] * function(tail)

    loss = (1 - gamma) * q[0].logsumexp(0) - expect(data, lambda r: phi(divergence, r))
    if divergence is Divergence.CHI2_MIXTURE:
        loss = loss + 0.25 * (expect(data, torch.square) + expect(model, torch.square))
    return loss


@pytest.mark.parametrize("divergence", list(Divergence))
@pytest.mark.parametrize("gamma", GAMMAS)
def test_loss_and_gradient_are_those_of_exact_occupancies(mdp, divergence, gamma):
    """Over all responses with their probabilities, but for what is cut off after eight actions."""
    for seed in range(3):
        expert, other = random_policy(mdp, seed, eos=1.5), random_policy(mdp, 10 + seed, eos=1.5)
        q, absorbed = random_q(mdp, seed)
        data = trajectories(mdp, mdp.responses(expert, LONGEST), q, absorbed)
        model = trajectories(mdp, mdp.responses(other, LONGEST), q, absorbed)
        mixture = divergence is Divergence.CHI2_MIXTURE
        ours = sequence_match_loss(data, model if mixture else None, gamma=gamma, divergence=divergence)
        occupancies = [mdp.occupancy(policy, gamma) for policy in (expert, other)]
        exact = (
            exact_loss(mdp, divergence, q, absorbed, data=occupancies[0], model=occupancies[1], gamma=gamma)
            / occupancies[0][0].sum()
        )
        assert ours.loss.item() == pytest.approx(exact.item(), abs=2e-4)
        assert (ours.value - ours.matched + ours.penalty).item() == pytest.approx(ours.loss.item())
        for mine, reference in zip(
            torch.autograd.grad(ours.loss, (q, absorbed)),
            torch.autograd.grad(exact, (q, absorbed)),
            strict=True,
        ):
            torch.testing.assert_close(mine, reference, atol=3e-4, rtol=0)


@pytest.mark.parametrize("divergence", list(Divergence))
def test_the_gradient_is_a_difference_of_occupancies(mdp, divergence):
    """In rewards it is ρ_π - φ'(r) ρ_d, and for the χ²-mixture + r (ρ_d + ρ) / 2: no logsumexp is left."""
    gamma = 0.7
    q, absorbed = random_q(mdp, 4)
    data, model = (mdp.occupancy(random_policy(mdp, seed), gamma) for seed in (1, 2))
    loss = exact_loss(mdp, divergence, q, absorbed, data=data, model=model, gamma=gamma)
    r, tail = (part.detach().requires_grad_() for part in mdp.rewards(q, absorbed, gamma))
    slopes = torch.autograd.grad(phi(divergence, r).sum() + phi(divergence, tail), (r, tail))
    policy, policy_tail = mdp.occupancy(q.softmax(1).detach(), gamma)
    along = [policy - slopes[0] * data[0], policy_tail - slopes[1] * data[1]]
    if divergence is Divergence.CHI2_MIXTURE:
        along = [a + x * (d + m) / 2 for a, x, d, m in zip(along, (r, tail), data, model, strict=True)]
    moved = mdp.rewards(q, absorbed, gamma)
    expected = torch.autograd.grad(moved, (q, absorbed), grad_outputs=[a.detach() for a in along])
    for mine, reference in zip(torch.autograd.grad(loss, (q, absorbed)), expected, strict=True):
        torch.testing.assert_close(mine, reference)


def minimised(loss, parameters):
    """Newton-like minimisation to double precision."""
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=2000, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure():
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    return float(loss())


def divergence_of(divergence, policy, data):
    """Of two occupancies, absorbing state included: what the loss says it minimises."""
    p, d = (torch.cat([texts.flatten(), tail[None]]) for texts, tail in (policy, data))
    m = (p + d) / 2
    return {
        Divergence.KL: (p * (p / d).log()).sum(),
        Divergence.CHI2: ((p - d) ** 2 / d).sum(),
        Divergence.CHI2_MIXTURE: 4 * (d * (d / m).log()).sum(),
    }[divergence]


@pytest.mark.parametrize("divergence", list(Divergence))
@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_the_optimum_minimises_the_divergence(mdp, divergence, gamma):
    """The softmax of the best Q-values is the policy that directly minimises divergence less entropy.

    For KL and χ² the optimal values agree too. The χ²-mixture is a fixed point: the penalty's occupancy is
    that of the policy so far, as with a buffer that keeps up.
    """
    expert = random_policy(mdp, 3)
    data = mdp.occupancy(expert, gamma)
    logits = torch.zeros(mdp.states, 3, dtype=torch.float64, requires_grad=True)

    def direct():
        policy = logits.softmax(1)
        return divergence_of(divergence, mdp.occupancy(policy, gamma), data) - mdp.entropy(policy, gamma)

    best = minimised(direct, [logits])
    q = torch.zeros(mdp.states, 3, dtype=torch.float64, requires_grad=True)
    absorbed = torch.zeros((), dtype=torch.float64, requires_grad=True)
    for _ in range(40 if divergence is Divergence.CHI2_MIXTURE else 1):
        model = mdp.occupancy(q.softmax(1).detach(), gamma)
        reached = minimised(
            lambda model=model: exact_loss(mdp, divergence, q, absorbed, data=data, model=model, gamma=gamma),
            [q, absorbed],
        )
    torch.testing.assert_close(q.softmax(1), logits.softmax(1), atol=1e-5, rtol=0)
    if divergence is not Divergence.CHI2_MIXTURE:
        assert -reached == pytest.approx(best, abs=1e-8)


def test_without_penalty_it_is_the_discounted_likelihood(mdp):
    """φ(r) = r: value less matched is Σ γ^t nll / Σ γ^t; imitation is that without a discount."""
    q, absorbed = random_q(mdp, 0)
    responses = [((0, 1, EOS), 1.0), ((0, EOS), 1.0), ((1, 0, 0, EOS), 1.0)]
    data = trajectories(mdp, responses, q, absorbed)
    ours = sequence_match_loss(data, data, gamma=0.8)
    nll = (data.v[:, :-1] - data.q).masked_fill(~data.valid, 0)
    discount = 0.8 ** torch.arange(4) * data.valid
    assert float(ours.value - ours.matched) == pytest.approx(float((nll * discount).sum() / discount.sum()))
    assert float(imitation_loss(data)) == pytest.approx(float(nll.sum() / data.valid.sum()))


def test_noise_takes_part_in_nothing(mdp):
    """An action that is not imitated changes no loss, whatever its logit."""
    q, absorbed = random_q(mdp, 0)
    data = trajectories(mdp, [((0, 1, EOS), 1.0), ((0, 0, 0), 1.0)], q, absorbed)
    imitated = data.imitated.clone()
    imitated[:, 1] = False
    loud = data.q.detach().clone()
    loud[:, 1] -= 1000  # exp(-r) overflows
    quiet, changed = (
        Trajectories(values, data.v.detach(), data.valid, imitated, data.ended, data.weights)
        for values in (data.q.detach(), loud)
    )
    for divergence in (Divergence.KL, Divergence.CHI2):
        assert sequence_match_loss(quiet, gamma=0.9, divergence=divergence) == sequence_match_loss(
            changed, gamma=0.9, divergence=divergence
        )
    assert imitation_loss(quiet) == imitation_loss(changed)


def test_what_is_refused(mdp):
    """A discount of 1, a mixture without the policy's responses, and those where they have no use."""
    q, absorbed = random_q(mdp, 0)
    data = trajectories(mdp, [((EOS,), 1.0)], q, absorbed)
    with pytest.raises(TraceError, match="gamma is 1"):
        sequence_match_loss(data, data, gamma=1)
    with pytest.raises(TraceError, match="chi2-mixture, without"):
        sequence_match_loss(data, gamma=0.9)
    with pytest.raises(TraceError, match="kl, with"):
        sequence_match_loss(data, data, gamma=0.9, divergence=Divergence.KL)
    with pytest.raises(TraceError, match="v has shape"):
        Trajectories(data.q, data.q, data.valid, data.valid, data.ended, data.weights)
