"""The recipes beside the main one, two steps of each on the real hosts."""

import pytest

STEPS = 2
KL = ("actor_rollout_ref.actor.use_kl_loss=true", "actor_rollout_ref.actor.kl_loss_coef=0.01")

HELD = ("+halluc.turns.stage=hold", "+halluc.turns.hold=0.1")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("recipe", "overrides", "logged"),
    [
        ("grpo_baseline", (), ()),
        ("grpo_outcome", KL, ("actor/kl_loss", "backtrack/rate")),
        ("halluc_grpo_hard", KL, ("actor/kl_loss", "backtrack/event_precision")),
        ("score_bonus", (), ("backtrack/reward/score_bonus", "backtrack/to_correct")),
        ("refinement", (), ("backtrack/acc_without_edits", "backtrack/turn_change")),
        ("refinement", (*KL, *HELD), ("actor/kl_loss", "backtrack/acc_without_edits")),
        ("rrpo", (), ("backtrack/masked_share", "backtrack/acc")),
    ],
)
def test_a_recipe_trains(new_run, recipe, overrides, logged):
    """From nothing to a checkpoint, logging what it is about; engine and actor stay one policy.

    With a KL loss the reference is asked in the run's own context: before the first update it is the actor.
    """
    run = new_run(recipe)
    said = run.start(f"trainer.total_training_steps={STEPS}", *overrides)
    assert "accuracy" in said
    metrics = run.metrics()
    assert set(metrics) == {0, 1, 2}
    for step in (1, 2):
        assert metrics[step]["training/rollout_probs_diff_max"] < 1e-4
        assert all(name in metrics[step] for name in logged)
    if overrides:
        assert abs(metrics[1]["actor/kl_loss"]) < 1e-3
    assert (run.checkpoints / f"global_step_{STEPS}" / "actor" / "huggingface" / "model.safetensors").exists()
