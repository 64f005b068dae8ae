"""The agent loops, trainers and rewards of verl that can be combined with halluc's settings."""

from verl_ext.host_settings.keys import LOOP, REWARD_FUNCTION, REWARD_MODEL, ROLLOUT, TRAINER
from verl_ext.host_settings.table import (
    Row,
    Table,
    Values,
    Where,
    above,
    given,
    off,
    on,
    one_of,
    other_than,
    supported,
)

EVERYWHERE = Where.EVERYWHERE

_LOOPS = (
    *(
        Row(
            (values,),
            Where.EDITING,
            f"is for turns and tools, and {LOOP}=backtrack generates once, without",
            f"Leave it out, or set {LOOP} to a loop that has tools.",
        )
        for values in (
            on(f"{ROLLOUT}.multi_turn.enable"),
            given(f"{ROLLOUT}.multi_turn.tool_config_path", "tools.yaml"),
            given(f"{ROLLOUT}.multi_turn.function_tool_path", "tools.py"),
        )
    ),
    supported(
        "hands prompts on in its own way",
        given(f"{ROLLOUT}.agent.agent_loop_manager_class", "theirs.Manager"),
    ),
)

_TRAINERS = (
    Row(
        (one_of(TRAINER, "colocate_async", "separate_async"),),
        Where.LIMITED,
        "resubmits an interrupted answer as a prompt, in which edits do nothing and budgets begin anew",
        f"Set {TRAINER}=backtrack_sync; asynchronous trainers work in soft context without limits on edits.",
    ),
    supported(
        "samples as ever in soft context; our guard, credit, traces and metrics are with `backtrack_sync` "
        "alone",
        one_of(TRAINER, "sync", "colocate_async", "separate_async"),
    ),
    Row(
        (Values("trainer.use_v1", "false", lambda value: value is False, "false"),),
        EVERYWHERE,
        "chooses verl's legacy trainer, which knows none of our parts",
        "Leave trainer.use_v1 out.",
    ),
    *(
        Row(
            (given(key, "{nnodes: 1}"),),
            EVERYWHERE,
            "is another program's setting",
            f"Start `python -m verl.trainer.main_ppo`; its asynchronous trainers are settings of {TRAINER}.",
        )
        for key in ("async_training", "rollout")
    ),
    *(
        Row(
            (on(f"skip.{name}.enable"),),
            EVERYWHERE,
            "replays answers of an earlier run, whose settings of edits may have been others",
            f"Set skip.{name}.enable=false.",
        )
        for name in ("rollout", "rollout_tq", "async_rollout")
    ),
    supported(
        "is watched for answers that fail, if it looks at the queue as verl's do",
        given("trainer.v1.sampler.custom_sampler.path", "sampler.py"),
    ),
    *(
        supported("writes answers as they were sampled, edits spelled out", given(f"trainer.{name}", "dump"))
        for name in ("rollout_data_dir", "validation_data_dir")
    ),
    *(
        supported("shows answers as they were sampled, edits spelled out", values)
        for values in (
            above("trainer.log_val_generations", 0),
            given(f"{ROLLOUT}.trace.backend", "mlflow"),
        )
    ),
)

_REWARDS = (
    Row(
        (other_than("reward.reward_manager.name", "backtrack", example="naive"),),
        Where.ERASING,
        "scores the raw text, with all that was erased",
        "Set reward.reward_manager.name=backtrack, or ban edits (++halluc.max_backtracks=0).",
    ),
    Row(
        (one_of("reward.reward_manager.source", "importlib"),),
        Where.ERASING,
        "names a reward manager that scores the raw text, with all that was erased",
        "Set reward.reward_manager.source=register, reward.reward_manager.name=backtrack; a scorer of your "
        f"own is given by {REWARD_FUNCTION}.",
    ),
    supported(
        "is asked about the text after edits, as is a function that asks one; alone it pays nothing but its "
        "score",
        on(REWARD_MODEL),
    ),
    Row(
        (on(REWARD_MODEL), one_of(LOOP, "refine"), off(REWARD_FUNCTION)),
        EVERYWHERE,
        "would judge both attempts and the request between them as one answer",
        f"Give {REWARD_FUNCTION}, a function that asks the model: it is given the second attempt.",
    ),
    Row(
        (
            on(REWARD_MODEL),
            given(REWARD_FUNCTION, "judge.py"),
            off("reward.reward_model.enable_resource_pool"),
        ),
        EVERYWHERE,
        "leaves the function without its problem: verl hands it neither data source nor ground truth there",
        "Set reward.reward_model.enable_resource_pool=true, with its nnodes and n_gpus_per_node.",
    ),
    Row(
        (on(REWARD_MODEL), one_of("reward.reward_model.rollout.name", "trtllm"), off(REWARD_FUNCTION)),
        EVERYWHERE,
        "is an engine of which this verl takes no scores",
        "Set reward.reward_model.rollout.name=vllm.",
    ),
    Row(
        (
            on(REWARD_MODEL),
            off(REWARD_FUNCTION),
            on("algorithm.filter_groups.enable"),
            other_than("algorithm.filter_groups.metric", "reward", example="acc"),
        ),
        EVERYWHERE,
        "gives a score and nothing else to filter by",
        "Set algorithm.filter_groups.metric=reward.",
    ),
    supported("is given the text after edits", given(REWARD_FUNCTION, "judge.py")),
    supported(
        "runs programs as verl does, of the text after edits", given("reward.sandbox_fusion.url", "http://x")
    ),
    *(
        Row((values,), EVERYWHERE, "is passed over by this verl", f"Set reward.{new} instead.")
        for values, new in (
            (given("custom_reward_function.path", "judge.py"), "custom_reward_function.path"),
            (on("reward_model.enable"), "reward_model.enable"),
            (given("reward_model.reward_manager", "naive"), "reward_manager.name"),
            (given("sandbox_fusion.url", "http://x"), "sandbox_fusion.url"),
        )
    ),
)

TRAINERS: Table = {
    "Agent loops": _LOOPS,
    "Trainers and their logs": _TRAINERS,
    "Rewards": _REWARDS,
}
