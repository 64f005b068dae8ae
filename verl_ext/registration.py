"""Register the plugin with verl: a table of additions, and the hooks that apply them.

Each row names a module of verl and what happens right after verl has imported it. Nothing of verl is
imported by registering.
"""

from verl_ext.hooks import after_import

REGISTRATIONS = {
    # host module, once imported       -> our module, whose import registers names with the host
    "verl.experimental.agent_loop.agent_loop": "verl_ext.loops.registered",
    "verl.experimental.reward_loop.reward_manager.registry": "verl_ext.reward_manager",
    "verl.trainer.ppo.core_algos": "verl_ext.advantage",
    "verl.trainer.ppo.v1.trainer_sync": "verl_ext.trainer",
    "verl.workers.engine.fsdp.transformer_impl": "verl_ext.engine",
    "verl.plugin.platform.platform_manager": "verl_ext.cpu.platform",
}
"""Rows that only add names to verl's registries, on every host."""

FIXES = {
    # host module, once imported       -> our function; inert unless its docstring's condition holds
    "verl.utils.config": "verl_ext.recipe.check:refuse_bare_recipe",
    "verl.utils.distributed": "verl_ext.cpu.fixes:use_gloo_alone",
    "verl.utils.fsdp_utils": "verl_ext.cpu.fixes:offload_without_pinning",
    "verl.experimental.reward_loop.reward_loop": "verl_ext.reward_model:ask_about_what_is_left",
    "verl.trainer.ppo.v1.trainer_base": "verl_ext.watch.every_trainer:watch_every_trainer",
    "verl.trainer.constants_ppo": "verl_ext.cpu.fixes:give_ray_time_to_start",
}
"""Rows that make verl run where it otherwise cannot, or stop where it would go wrong silently."""


def register() -> None:
    """Install the hooks; calling it again changes nothing."""
    from halluc_plugin.vllm_engine.metadata import offer_vllm_metadata

    offer_vllm_metadata()
    for host_module, target in {**REGISTRATIONS, **FIXES}.items():
        after_import(host_module, target)
    after_import("verl.workers.engine.fsdp.transformer_impl", "verl_ext.cpu.engines:register_for_cpu")
    after_import("verl.experimental.agent_loop.agent_loop", "verl_ext.watch.failed_answers:tell_causes")
