"""The old name of each module that has moved, for :mod:`halluc_plugin.moved`."""

MODULES = {
    "verl_ext.agent_loop": "verl_ext.loops.backtrack",
    "verl_ext.agent_loops": "verl_ext.loops.registered",
    "verl_ext.callback": "verl_ext.recipe.callback",
    "verl_ext.checks": "verl_ext.preflight.checks",
    "verl_ext.continuations": "verl_ext.loops.continuations",
    "verl_ext.failed_answers": "verl_ext.watch.failed_answers",
    "verl_ext.guard": "halluc_plugin.rl.drift",
    "verl_ext.judges": "verl_ext.preflight.judges",
    "verl_ext.model_cards": "verl_ext.recipe.model_cards",
    "verl_ext.model_checks": "verl_ext.preflight.models",
    "verl_ext.names": "verl_ext.preflight.names",
    "verl_ext.parts": "verl_ext.preflight.parts",
    "verl_ext.recipe_callback": "verl_ext.recipe.base",
    "verl_ext.recipe_check": "verl_ext.recipe.check",
    "verl_ext.refinement": "verl_ext.loops.refinement",
    "verl_ext.resumption": "verl_ext.recipe.resumption",
    "verl_ext.rollout_watch": "verl_ext.watch.rollouts",
    "verl_ext.rows_check": "verl_ext.preflight.rows",
    "verl_ext.seeds": "verl_ext.loops.seeds",
    "verl_ext.sft_callback": "verl_ext.recipe.sft_callback",
    "verl_ext.sync_watch": "verl_ext.watch.sync",
}
"""The new name of each module, by its old name."""

NAMES = {
    "verl_ext.continuations.COLUMN": "verl_ext.columns.CONTINUATIONS",
    "verl_ext.failed_answers.watch_every_trainer": "verl_ext.watch.every_trainer.watch_every_trainer",
}
"""The new dotted name, by the old one, of each object that its module's new place does not hold."""
