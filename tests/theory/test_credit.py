"""The exact expected gradient of every reward, mask and credit, on a chain whose traces are all counted."""

import math

import pytest

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.settings import CreditSettings, CreditValues, RewardSettings
from halluc_plugin.theory.credit import CreditChain, Rule

CHAINS = [
    CreditChain(),
    CreditChain(recall=0.9),
    CreditChain(error=0.1, recall=0.9),
    CreditChain(length=2, recall=0.9, budget=2),
]
PRESETS = {
    "outcome": {"outcome": 1.0},
    "process": {"outcome": 1.0, "process": 0.5},
    "n_mars": {"n_mars": 1.0},
    "shaped": {"outcome": 1.0, "format": 0.1, "backtrack": 1.0},
    "score_bonus": {"outcome": 1.0, "score_bonus": 10.0},
}
DISCOURAGED = (ErasedTokens.MASK, ErasedTokens.NEGATIVE)


def rule(preset="outcome", erased=ErasedTokens.MASK, alpha=0.0, values=CreditValues.JUDGED, by_std=True):
    """A rule by names."""
    return Rule(RewardSettings(weights=PRESETS[preset]), erased, CreditSettings(alpha, values), by_std)


def test_one_step_by_hand():
    """Pairs of a right and a wrong answer pull P(wrong) down by √2 e² (1-e)², other pairs do nothing."""
    drift = CreditChain(length=1, error=0.3, budget=0).drift(rule())
    assert drift.error == pytest.approx(-math.sqrt(2) * 0.3**2 * 0.7**2, rel=1e-4)
    assert drift.recall == drift.alarm == 0


def test_without_the_deviation_by_hand():
    """Dr. GRPO's advantages are ±1/2 where GRPO's are ±1/√2."""
    by_std, plain = (CreditChain(length=1, budget=0).drift(rule(by_std=flag)).error for flag in (True, False))
    assert plain / by_std == pytest.approx(1 / math.sqrt(2), rel=1e-4)


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("by_std", [True, False])
@pytest.mark.parametrize("erased", ErasedTokens)
@pytest.mark.parametrize("preset", ["outcome", "process", "n_mars"])
def test_these_rewards_never_raise_errors(chain, preset, erased, by_std):
    """Outcome (the default), process and N-MARS lower P(error) in every right state, whatever erased get."""
    drift = chain.drift(rule(preset, erased, by_std=by_std))
    assert drift.error < 0
    assert drift.alarm < 0


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("values", CreditValues)
@pytest.mark.parametrize("erased", ErasedTokens)
def test_credit_of_edits_never_raises_errors(chain, erased, values):
    """What an edit is paid goes to the edit alone: P(error) drifts exactly as without."""
    paid, unpaid = (
        chain.drift(rule(erased=erased, alpha=0.5, values=values)),
        chain.drift(rule(erased=erased)),
    )
    assert paid.error == pytest.approx(unpaid.error, rel=1e-9)
    assert paid.recall > unpaid.recall
    assert paid.alarm <= unpaid.alarm


@pytest.mark.parametrize("chain", CHAINS[1:], ids=str)
def test_masking_is_a_bias_that_costs_recall(chain):
    """Where most errors are undone, masking erased tokens lowers recall, keeping them raises it."""
    assert chain.drift(rule(erased=ErasedTokens.MASK)).recall < 0
    assert chain.drift(rule(erased=ErasedTokens.KEEP)).recall > 0
    assert chain.drift(rule(erased=ErasedTokens.MASK, alpha=0.5)).recall > 0


@pytest.mark.parametrize("preset", ["shaped", "score_bonus"])
def test_bonuses_for_undone_errors_can_teach_errors(preset):
    """Where errors are rare and kept in the loss, a bonus for undoing them pays them above none at all."""
    chain = CHAINS[2]
    assert chain.drift(rule(preset, ErasedTokens.KEEP)).error > 0
    for erased in DISCOURAGED:
        assert chain.drift(rule(preset, erased)).error < 0


def test_n_mars_is_the_outcome_within_its_budget():
    """One backtrack of at least four actions is within a fifth plus rounding: the drifts are the same."""
    chain = CreditChain()
    theirs, ours = chain.drift(rule("n_mars")), chain.drift(rule())
    for field in ("error", "recall", "alarm"):
        assert getattr(theirs, field) == pytest.approx(getattr(ours, field), rel=1e-4)
