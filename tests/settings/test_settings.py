"""The ``halluc:`` block is read strictly."""

import pytest
from omegaconf import OmegaConf

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import Boundary, ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Settings, WarmStartTraces, load


def test_missing_keys_mean_defaults():
    """No block, an empty block and the default settings are one."""
    assert load(None) == load({}) == Settings()


def test_reads_every_group():
    """Nested groups, enums, null and integers given for numbers arrive typed, from OmegaConf too."""
    block = {
        "context": "soft",
        "erased_tokens": "keep",
        "max_backtracks": 2,
        "boundary": "mask",
        "tokens": {"step_delimiter": ";"},
        "reward": {"weights": {"outcome": 1, "backtrack": 0.5}, "alpha": 0},
        "guard": {"enabled": False, "max_drift": None},
        "prepare": {"seed": 3, "traces": "clean"},
    }
    settings = load(OmegaConf.create(block))
    assert settings == load(block)
    assert settings.context is Context.SOFT
    assert settings.erased_tokens is ErasedTokens.KEEP
    assert settings.max_backtracks == 2
    assert settings.boundary is Boundary.MASK
    assert settings.reward.weights == {"outcome": 1.0, "backtrack": 0.5}
    assert isinstance(settings.reward.alpha, float)
    assert settings.prepare.traces is WarmStartTraces.CLEAN


@pytest.mark.parametrize(
    ("block", "named"),
    [
        ({"max_backtrack": 2}, "Did you mean max_backtracks?"),
        ({"reward": {"weights": {"outcom": 1.0}}}, "Did you mean outcome?"),
        ({"guard": {"enable": True}}, "Unknown setting halluc.guard.enable"),
        ({"nonsense": 1}, "halluc knows: boundary, context"),
        ({"context": "sfot"}, "halluc.context is 'sfot'. Fix: Give one of: soft, hard."),
        ({"context": "both"}, "halluc.context is 'both'"),
        ({"max_backtracks": -1}, "halluc.max_backtracks is -1"),
        ({"max_backtracks": 2.5}, "halluc.max_backtracks is 2.5, not an integer"),
        ({"max_backtracks": True}, "halluc.max_backtracks is True, not an integer"),
        ({"guard": {"enabled": 1}}, "halluc.guard.enabled is 1, not true or false"),
        ({"reward": {"weights": ["outcome"]}}, "halluc.reward.weights is ['outcome'], not a mapping"),
        ({"reward": {"alpha": float("nan")}}, "halluc.reward.alpha is nan"),
        ({"reward": 1.0}, "halluc.reward is 1.0, not a group"),
        ({"tokens": {"step_delimiter": None}}, "halluc.tokens.step_delimiter is None, not a text"),
        ({"guard": {"min_correlation": 2.0}}, "halluc.guard.min_correlation is 2.0"),
        ({"guard": {"max_drift": 0}}, "halluc.guard.max_drift is 0"),
        ({"guard": {"min_tokens": 1}}, "halluc.guard.min_tokens is 1"),
        ({"prepare": {"seed": -1}}, "halluc.prepare.seed is -1"),
        ({"prepare": {"warm_start_steps": 0}}, "halluc.prepare.warm_start_steps is 0"),
        ({"values": {"continuations": 0}}, "halluc.values.continuations is 0"),
        ({"credit": {"alpha": float("inf")}}, "halluc.credit.alpha is inf"),
        ({"credit": {"values": "verifier"}}, "Give one of: judged, prefix_tree."),
        ({"credit": {"share": 0}}, "halluc.credit.share is 0"),
        ({"credit": {"first": -1}}, "halluc.credit.first is -1"),
        ({"credit": {"units": "actions"}}, "knows states between steps alone"),
        (
            {"credit": {"form": "q", "alpha": 1}, "values": {"source": "prm", "scorer": "Q"}},
            "is the Q of each action by a reward model, and halluc.credit.units is edits",
        ),
        (
            {"credit": {"form": "q", "alpha": 1, "units": "actions"}},
            "reads the logits of a Q-function reward model, and halluc.values.source is verifier",
        ),
        ({"credit": {"form": "min"}}, "halluc.credit.form=min is of steps, and halluc.credit.units is edits"),
        ({"credit": {"form": "siblings", "units": "steps"}}, "does not go with halluc.credit.values=judged"),
        (
            {"credit": {"form": "verdict", "units": "steps", "values": "prefix_tree"}},
            "halluc.credit.form=verdict does not go with halluc.credit.values=prefix_tree",
        ),
        ({"credit": {"replaces": True}}, "leaves nothing to most actions with alpha=0.0 and units=edits"),
        (
            {"credit": {"replaces": True, "alpha": 1, "units": "steps"}, "erased_tokens": "negative"},
            "Set halluc.erased_tokens=keep",
        ),
        ({"metrics": {"kappa": 0}}, "halluc.metrics.kappa is 0"),
        ({"curriculum": {"steps": 3}}, "halluc.curriculum is {'steps': 3}, not a list"),
        (
            {"curriculum": [{"step": 3}]},
            "Unknown setting halluc.curriculum[0].step. Fix: Did you mean steps?",
        ),
        ({"curriculum": [{"steps": 3}]}, "halluc.curriculum[0].steps is 3, but nothing follows it"),
        ({"curriculum": [{}, {}]}, "halluc.curriculum[0].steps is None"),
        ({"curriculum": [{"max_backtracks": -2}]}, "halluc.curriculum[0].max_backtracks is -2"),
        ({"curriculum": [{"weights": {"outcom": 1}}]}, "halluc.curriculum[0].weights knows"),
        ({"curriculum": [{}], "max_backtracks": 2}, "the curriculum has budgets of its own"),
    ],
)
def test_refuses(block, named):
    """A mistake is refused with a message that names the key, the value or the likely intention."""
    with pytest.raises(SettingsError) as caught:
        load(block)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("block", "bans"), [({}, False), ({"max_backtracks": 0}, True), ({"boundary": "mask"}, True)]
)
def test_bans_edits(block, bans):
    """Edits are banned at times exactly when a budget or the masked boundary is set."""
    assert load(block).bans_edits is bans


CURRICULUM = {
    "reward": {"weights": {"outcome": 1.0}},
    "curriculum": [
        {"steps": 2, "max_backtracks": 2, "weights": {"outcome": 1.0, "backtrack": 0.5}},
        {"steps": 3, "max_backtracks": 5},
        {},
    ],
}


@pytest.mark.parametrize(
    ("step", "budget", "weights"),
    [
        (0, 2, {"outcome": 1.0, "backtrack": 0.5}),
        (2, 2, {"outcome": 1.0, "backtrack": 0.5}),
        (3, 5, {"outcome": 1.0}),
        (5, 5, {"outcome": 1.0}),
        (6, None, {"outcome": 1.0}),
        (10**6, None, {"outcome": 1.0}),
    ],
)
def test_a_stage_is_a_function_of_the_step(step, budget, weights):
    """Budget and weights by the global step alone; validation before step 1 belongs to the first stage."""
    settings = load(OmegaConf.create(CURRICULUM)).at(step)
    assert (settings.max_backtracks, settings.reward.weights) == (budget, weights)
    assert settings.curriculum == ()


def test_a_curriculum_asks_for_what_any_of_its_stages_does():
    """One stage with a budget needs the engine that bans; one that pays for values needs them judged."""
    settings = load(CURRICULUM)
    assert settings.bans_edits
    assert [stage.max_backtracks for stage in settings.stages] == [2, 5, None]
    assert settings.paid_values == ("halluc.reward.weights.backtrack",)
    assert not load({"curriculum": [{"steps": 1}, {}]}).bans_edits
    assert load({}).stages == (Settings(),)


def test_continuations_concern_the_rollout_alone():
    """They ban edits in requests of their own; the actor's log-probs stay those of plain decoding."""
    settings = load({"values": {"source": "continuations"}})
    assert settings.steers_rollouts
    assert not settings.needs_own_engine


def test_what_pays_for_values():
    """Credit of edits by judged values does, by the group's own does not; nor does a weight of 0."""
    assert load({"credit": {"alpha": 0.5}}).paid_values == ("halluc.credit.alpha",)
    assert load({"credit": {"alpha": 0.5, "values": "prefix_tree"}}).paid_values == ()
    assert load({"reward": {"weights": {"outcome": 1, "process": 0}}}).paid_values == ()


def test_credit_of_steps_reads_values_after_steps():
    """Judged ones must be had after every step; the prefix tree needs the ends of steps and no judge."""
    judged = load({"credit": {"alpha": 1, "units": "steps"}})
    assert (judged.pays_steps, judged.credit.divides_steps) == (True, True)
    tree = load({"credit": {"alpha": 1, "units": "steps", "values": "prefix_tree"}})
    assert (tree.pays_steps, tree.credit.divides_steps) == (False, True)
    assert not load({"credit": {"units": "steps"}}).credit.divides_steps
