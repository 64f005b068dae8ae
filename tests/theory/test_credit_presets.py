"""What the presets of ``halluc/credit`` make of the gradient of a right answer, exactly, on a counted chain.

Without edits all of them are that gradient, state by state, times a positive factor that is known.
"""

from pathlib import Path

import pytest
import yaml

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.settings import load
from halluc_plugin.theory.credit import CreditChain, Rule

FOLDER = Path(__file__).parents[2] / "recipes" / "halluc" / "credit"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LENGTH, ERROR = 3, 0.3
PLAIN = CreditChain(length=LENGTH, error=ERROR, alarm=0.0, budget=0)
RIGHT = [("r" * n, (1 - ERROR) ** n) for n in range(LENGTH)]
CHAINS = [CreditChain(), CreditChain(error=0.1, recall=0.9), CreditChain(length=2, recall=0.9, budget=2)]


def rule(name, **changes):
    """A preset as its file has it, with GRPO's advantages undivided and all actions in the loss."""
    block = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    values = {"values": {"source": "prm", "scorer": "Q"}} if name == "q_rm" else {}
    credit = load({"credit": block.get("credit", block) | changes} | values).credit
    return Rule(
        erased=ErasedTokens.KEEP, credit=credit, normalize_by_std=False, policy_values=name == "vineppo"
    )


def factors(name, **changes):
    """The preset's expected gradient over that of a right answer, in every right state that continues."""
    mine, exact = PLAIN.gradient(rule(name, **changes)), PLAIN.exact_gradient()
    rows = [PLAIN.states.index(state) for state, _ in RIGHT]
    for row in rows:  # one factor for all actions
        assert mine[row, 0] / exact[row, 0] == pytest.approx(float(mine[row, 1] / exact[row, 1]), rel=1e-9)
    return [float(mine[row, 1] / exact[row, 1]) for row in rows]


def test_the_exact_gradient_is_that_of_the_probability():
    """P(right) = (1 - e)^3: the logit of a wrong token moves it by -e (1 - e)^3 in each state on the way."""
    exact = PLAIN.exact_gradient()
    for state, _ in RIGHT:
        slope = float(exact[PLAIN.states.index(state), 1])
        assert slope == pytest.approx(-ERROR * (1 - ERROR) ** LENGTH, rel=1e-9)


def test_vineppo_is_the_exact_gradient():
    """With exact values: the bare prompt is worth what the other answers are, which costs no bias."""
    assert factors("vineppo") == pytest.approx([1, 1, 1], rel=1e-9)


def test_q_rm_is_the_exact_gradient_times_the_slope_of_its_logits():
    """The chance behind an action is its Q: what others came to does not depend on it, and costs no bias."""
    assert factors("q_rm") == pytest.approx([1, 1, 1], rel=1e-9)
    assert factors("q_rm", alpha=3.0) == pytest.approx([3, 3, 3], rel=1e-9)


@pytest.mark.parametrize(
    ("name", "own", "shared"), [("t_spmo", 0, 0.5), ("tempo", 0.5, 0.5), ("treerpo", 0, 1)]
)
def test_a_tree_of_two_weighs_a_state_by_how_often_both_are_there(name, own, shared):
    """The factor is that of GRPO in groups of two, 1/2, if it is kept, and a multiple of P(state)."""
    assert factors(name) == pytest.approx([own + shared * chance for _, chance in RIGHT], rel=1e-9)


def test_s_grpo_weighs_actions_by_the_share_that_is_drawn():
    """1/2 for the first action, which is always drawn, 0.3 of it for later ones."""
    assert factors("s_grpo", first=1) == pytest.approx([0.5, 0.15, 0.15], rel=1e-6)


def test_capo_and_reachability_forget_what_may_still_go_wrong():
    """A wrong step costs as much early as late: the exact gradient over the chance behind a right one."""
    behind = [(1 - ERROR) ** (LENGTH - 1 - n) for n in range(LENGTH)]
    assert factors("capo") == pytest.approx([0.5 + 0.5 / chance for chance in behind], rel=1e-9)
    judged = load({"credit": {"alpha": 1, "units": "steps", "replaces": True}}).credit
    mine = PLAIN.gradient(Rule(erased=ErasedTokens.KEEP, credit=judged, normalize_by_std=False))
    exact = PLAIN.exact_gradient()
    rows = [PLAIN.states.index(state) for state, _ in RIGHT]
    assert [float(mine[r, 1] / exact[r, 1]) for r in rows] == pytest.approx([1 / c for c in behind], rel=1e-9)


def test_pure_pays_early_steps_more():
    """A right answer's return of 1 is spread over its steps, a wrong step takes it from all up to itself."""
    expected = [0.5 + 1 + (LENGTH - n) / LENGTH for n in range(LENGTH)]
    assert factors("pure") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_with_edits_every_preset_lowers_errors_and_points_uphill(name, chain):
    """P(error) falls in every right state, and the cosine with the exact gradient is above 0.9."""
    assert chain.drift(rule(name)).error < 0
    assert chain.agreement(rule(name)) > 0.9


@pytest.mark.parametrize("name", ["tempo", "t_spmo", "treerpo", "vineppo", "pure", "q_rm"])
def test_with_edits_these_raise_recall_and_lower_alarms(name):
    """Where one right state in ten is left, text and edits are paid by one rule, and edits get their due."""
    drift = CreditChain().drift(rule(name))
    assert drift.recall > 0
    assert drift.alarm < 0
