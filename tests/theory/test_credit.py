"""The exact expected gradient of every reward, mask and credit, on a chain whose traces are all counted."""

import math

import pytest
import torch

from halluc_plugin.credit import shape_advantages, spread
from halluc_plugin.edits import EditVocab, resolve_rows
from halluc_plugin.edits.builders import ErasedTokens, response_mask
from halluc_plugin.rewards import score
from halluc_plugin.settings import CreditSettings, CreditValues, RewardSettings
from halluc_plugin.theory.credit import CreditChain, Rule

TOKENS = {token: number for number, token in enumerate("rw.<")}

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
def test_these_rewards_lower_errors_here(chain, preset, erased, by_std):
    """Outcome (the default), process and N-MARS lower P(error) in every right state, whatever erased get."""
    drift = chain.drift(rule(preset, erased, by_std=by_std))
    assert drift.error < 0
    assert drift.alarm < 0


@pytest.mark.parametrize("budget", [0, 1, 2])
@pytest.mark.parametrize("recall", [0.1, 0.9])
@pytest.mark.parametrize("alarm", [0.02, 0.3])
@pytest.mark.parametrize("error", [0.02, 0.5])
def test_the_default_lowers_errors_everywhere(error, alarm, recall, budget):
    """On a grid of policies, masked or kept, with and without the deviation."""
    chain = CreditChain(length=2, error=error, recall=recall, alarm=alarm, budget=budget)
    for erased in (ErasedTokens.MASK, ErasedTokens.KEEP):
        for by_std in (True, False):
            assert chain.drift(rule(erased=erased, by_std=by_std)).error < 0


def test_process_can_teach_errors():
    """Over the deviation of a group of two any difference counts as one: half a right step is enough."""
    chain = CreditChain(length=2, error=0.5, recall=0.1, alarm=0.3)
    assert chain.drift(rule("process")).error > 0
    assert chain.drift(rule("process", by_std=False)).error < 0


@pytest.mark.parametrize("chain", [chain for chain in CHAINS if chain.budget == 1], ids=str)
@pytest.mark.parametrize("erased", ErasedTokens)
def test_judged_credit_of_single_edits_goes_to_recall_alone(chain, erased):
    """With one edit an event: P(error) and P(alarm) change in no right state, recall rises in all states."""
    paid, unpaid = chain.drift(rule(erased=erased, alpha=0.5)), chain.drift(rule(erased=erased))
    assert paid.errors == pytest.approx(unpaid.errors, rel=1e-9)
    assert paid.alarms == pytest.approx(unpaid.alarms, rel=1e-9)
    assert all(paid.recalls[state] > unpaid.recalls[state] for state in paid.recalls)


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("values", CreditValues)
@pytest.mark.parametrize("erased", ErasedTokens)
def test_credit_hardly_moves_errors(chain, erased, values):
    """Whatever the values: within 4 % of what it was in every right state, and never up."""
    paid, unpaid = (
        chain.drift(rule(erased=erased, alpha=0.5, values=values)),
        chain.drift(rule(erased=erased)),
    )
    assert paid.errors == pytest.approx(unpaid.errors, rel=0.04)
    assert paid.error < 0
    assert paid.recall > unpaid.recall


def test_a_run_that_erases_too_much_is_paid_for_it():
    """An event's gain is shared by all its edits, those that delete right tokens too: alarms can rise."""
    chain = CreditChain(length=2, error=0.5, recall=0.9, alarm=0.3, budget=2)
    assert chain.drift(rule()).alarms["r"] < 0
    assert chain.drift(rule(alpha=0.5)).alarms["r"] > 0


def test_negative_can_teach_alarms():
    """It punishes right tokens that a false alarm erased, and errors with them: the rest becomes likelier."""
    chain = CreditChain(length=2, error=0.5, recall=0.6, alarm=0.02)
    assert chain.drift(rule(erased=ErasedTokens.NEGATIVE)).alarm > 0
    assert chain.drift(rule(erased=ErasedTokens.MASK)).alarm <= 0
    assert chain.drift(rule(erased=ErasedTokens.KEEP)).alarm <= 0


@pytest.mark.parametrize("chain", CHAINS[1:], ids=str)
def test_masking_is_a_bias_that_costs_recall(chain):
    """Where most errors are undone, masking erased tokens lowers recall, keeping them raises it."""
    assert chain.drift(rule(erased=ErasedTokens.MASK)).recall < 0
    assert chain.drift(rule(erased=ErasedTokens.KEEP)).recall > 0
    assert chain.drift(rule(erased=ErasedTokens.MASK, alpha=0.5)).recall > 0


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_recall_suffers_where_a_later_edit_erases_what_followed_the_error(chain):
    """Behind an error in the last place nothing can be written and erased: there masking changes nothing."""
    masked, kept = (chain.drift(rule(erased=e)).recalls for e in (ErasedTokens.MASK, ErasedTokens.KEEP))
    last = "r" * (chain.length - 1) + "w"
    assert masked[last] == pytest.approx(kept[last], rel=1e-9)
    assert all(masked[state] < kept[state] for state in masked.keys() - {last})


def paid_for(answer, settings):
    """What a whole answer of the chain is paid."""
    chain = CreditChain()
    row = chain._traces.index([TOKENS[token] for token in answer])
    return score(chain._answers[row], settings)[0]


@pytest.mark.parametrize("undone", ["w<rrr.", "rw<rr.", "rrw<r."])
@pytest.mark.parametrize("preset", PRESETS)
def test_an_undone_error_is_not_paid_above_none(preset, undone):
    """Nor is a correction that fails; the two bonuses for undone errors are the exceptions, and say so."""
    settings = RewardSettings(weights=PRESETS[preset])
    right_first, error_undone = paid_for("rrr.", settings), paid_for(undone, settings)
    assert (error_undone > right_first) == (preset in {"shaped", "score_bonus"})
    assert paid_for(undone.replace("<r", "<w"), settings) < right_first


@pytest.mark.parametrize("erased", [ErasedTokens.MASK, ErasedTokens.KEEP, ErasedTokens.NEGATIVE])
def test_credit_pays_the_undoing_and_not_the_error(erased):
    """In a group of both, the error gets no more than the right token; the edit gets α Δ besides."""
    chain = CreditChain()
    rows = [chain._traces.index([TOKENS[token] for token in text]) for text in ("rrr.", "w<rrr.")]
    ids = [chain._traces[row] for row in rows]
    resolution = resolve_rows(ids, EditVocab(backtrack=TOKENS["<"]))
    mask = response_mask(resolution, erased)
    advantages = spread(torch.tensor([0.5, 0.5], dtype=torch.float64), mask)  # both are right
    event_values = [list(chain._answers[row].event_values) for row in rows]
    paid = shape_advantages(advantages, mask, resolution, erased=erased, event_values=event_values, alpha=0.5)
    assert paid[0, :4].tolist() == [0.5] * 4
    assert paid[1, 1].item() == 0.5 + 0.5 * 1.0
    assert paid[1, 0].item() == {"mask": 0.0, "keep": 0.5, "negative": -0.5}[erased]


@pytest.mark.parametrize("preset", ["shaped", "score_bonus"])
def test_bonuses_for_undone_errors_can_teach_errors(preset):
    """Where errors are rare and kept in the loss, a bonus for undoing them pays them above none at all."""
    chain = CHAINS[2]
    assert chain.drift(rule(preset, ErasedTokens.KEEP)).error > 0
    for erased in DISCOURAGED:
        assert chain.drift(rule(preset, erased)).error < 0


def test_n_mars_is_the_outcome_within_its_budget():
    """One backtrack and six actions or more: within a fifth, and the drifts are those of the outcome."""
    chain = CreditChain()
    theirs, ours = chain.drift(rule("n_mars")), chain.drift(rule())
    for field in ("error", "recall", "alarm"):
        assert getattr(theirs, field) == pytest.approx(getattr(ours, field), rel=1e-4)
