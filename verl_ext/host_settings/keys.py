"""The keys of verl's config that the tables and the checks name."""

OWN_STRATEGY, STOCK_STRATEGY = "backtrack_fsdp2", "fsdp2"
TREE_ATTENTION = ("sdpa", "eager", "flex_attention")
SCHEDULER = "halluc_plugin.vllm_engine.scheduler.RewindScheduler"

MODEL, ROLLOUT = "actor_rollout_ref.model", "actor_rollout_ref.rollout"
ACTOR, REF = "actor_rollout_ref.actor", "actor_rollout_ref.ref"
VLLM = f"{ROLLOUT}.engine_kwargs.vllm"
LOOP = f"{ROLLOUT}.agent.default_agent_loop"
TRAINER = "trainer.v1.trainer_mode"
REWARD_MODEL = "reward.reward_model.enable"
REWARD_FUNCTION = "reward.custom_reward_function.path"
