"""The settings of verl's rollout engines, actors and critics that can be combined with halluc's."""

from typing import Any

from verl_ext.host_settings.keys import (
    ACTOR,
    MODEL,
    OWN_STRATEGY,
    REF,
    ROLLOUT,
    SCHEDULER,
    STOCK_STRATEGY,
    TREE_ATTENTION,
    VLLM,
)
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

RUNTIME_ENV = "ray_kwargs.ray_init.runtime_env.env_vars"
HARD, LIMITED, STEERED, EVERYWHERE = Where.HARD, Where.LIMITED, Where.STEERED, Where.EVERYWHERE


def _drafts(mtp: Any) -> bool:
    return bool(mtp and mtp.get("enable") and mtp.get("enable_rollout"))


_ROLLOUT = (
    Row(
        (other_than(f"{ROLLOUT}.name", "vllm", example="sglang"),),
        STEERED,
        "is an engine that cannot: only vLLM rollouts can",
        f"Set {ROLLOUT}.name=vllm.",
    ),
    supported("generates once, as verl does; not run by us", one_of(f"{ROLLOUT}.name", "sglang", "trtllm")),
    Row(
        (given(f"{ROLLOUT}.agent.custom_async_server.path", "server.py"),),
        STEERED,
        "is a server that may pass our limits on edits by",
        f"Leave {ROLLOUT}.agent.custom_async_server out.",
    ),
    *(
        Row((values,), HARD, "leaves only the last stage to learn of a rewind", f"Set {values.key}=1.")
        for values in (
            above(f"{ROLLOUT}.pipeline_model_parallel_size", 1),
            above(f"{VLLM}.pipeline_parallel_size", 1),
        )
    ),
    *(
        Row((above(f"{VLLM}.{name}", 1),), HARD, "was never tried with rewinding", f"Set {VLLM}.{name}=1.")
        for name in ("decode_context_parallel_size", "prefill_context_parallel_size")
    ),
    *(
        Row(
            (values,),
            STEERED,
            "drafts tokens that no limit on edits is applied to",
            f"Leave {values.key} out.",
        )
        for values in (
            given(f"{VLLM}.speculative_config", "{method: ngram}"),
            Values(f"{ROLLOUT}.mtp", "`enable_rollout`", _drafts, "{enable: true, enable_rollout: true}"),
        )
    ),
    *(
        Row(
            (given(f"{VLLM}.{name}", "{kv_connector: X}"),),
            HARD,
            "may have copied what is rewound",
            f"Leave {VLLM}.{name} out.",
        )
        for name in ("kv_transfer_config", "ec_transfer_config")
    ),
    Row(
        (on(f"{ROLLOUT}.disaggregation.enabled"),),
        STEERED,
        "samples the first token on another server than the rest",
        f"Set {ROLLOUT}.disaggregation.enabled=false.",
    ),
    *(
        Row((values,), HARD, "counts the forward passes of what was erased", f"Set {values.key}=false.")
        for values in (
            on(f"{ROLLOUT}.enable_rollout_routing_replay"),
            on(f"{VLLM}.enable_return_routed_experts"),
        )
    ),
    Row(
        (on(f"{VLLM}.enable_prompt_embeds"),),
        HARD,
        "was never tried with rewinding",
        f"Set {VLLM}.enable_prompt_embeds=false.",
    ),
    Row(
        (other_than(f"{VLLM}.scheduler_cls", SCHEDULER, example="theirs.Scheduler"),),
        HARD,
        "is a scheduler that does not rewind",
        f"Leave {VLLM}.scheduler_cls out; a subclass of {SCHEDULER} is for engines of your own.",
    ),
    Row(
        (Values(f"{RUNTIME_ENV}.VLLM_USE_V2_MODEL_RUNNER", "1", lambda value: str(value) == "1", "1"),),
        HARD,
        "chooses a model runner that keeps its own count of tokens",
        f"Leave {RUNTIME_ENV}.VLLM_USE_V2_MODEL_RUNNER out.",
    ),
    Row(
        (other_than(f"{ROLLOUT}.logprobs_mode", "processed_logprobs", example="raw_logprobs"),),
        LIMITED,
        "returns log-probs of another policy than was sampled from",
        f"Set {ROLLOUT}.logprobs_mode=processed_logprobs.",
    ),
    supported(
        "keeps a user's processors next to halluc's", given(f"{VLLM}.logits_processors", "[theirs:Processor]")
    ),
    supported("is switched off in hard context", on(f"{VLLM}.async_scheduling")),
    supported("is exact", on(f"{ROLLOUT}.enable_prefix_caching")),
    supported("is exact", on(f"{ROLLOUT}.enable_chunked_prefill")),
    supported("is as in verl; not run by us", above(f"{ROLLOUT}.tensor_model_parallel_size", 1)),
    supported("is as in verl; not run by us", above(f"{ROLLOUT}.data_parallel_size", 1)),
    supported("is as in verl; not run by us", given(f"{ROLLOUT}.quantization", "fp8")),
    supported("switches the guard against stale weights off", off(f"{ROLLOUT}.calculate_log_probs")),
)

_ACTOR = (
    Row(
        (other_than("model_engine", "dp", example="megatron"),),
        LIMITED,
        "has no engine that computes such log-probs",
        "Leave model_engine out (dp).",
    ),
    Row(
        (other_than("model_engine", "dp", example="megatron"), one_of(f"{ACTOR}.strategy", "fsdp2", "fsdp")),
        EVERYWHERE,
        "are engines of two kinds; the recipe, or the command line, names the second",
        f"Set {ACTOR}.strategy to the same, as verl's own settings do.",
    ),
    *(
        Row(
            (other_than(f"{role}.strategy", STOCK_STRATEGY, OWN_STRATEGY, example="fsdp"),),
            LIMITED,
            "computes log-probs without regard to it",
            f"Set {ACTOR}.strategy={STOCK_STRATEGY} (completed by our recipes) or {OWN_STRATEGY}; "
            "other strategies cannot.",
        )
        for role in (ACTOR, REF)
    ),
    *(
        Row(
            (above(f"{role}.ulysses_sequence_parallel_size", 1),),
            LIMITED,
            "cuts sequences up, which our engine does not support",
            f"Set {ACTOR}.ulysses_sequence_parallel_size=1, and that of the reference and of fsdp_config.",
        )
        for role in (ACTOR, f"{ACTOR}.fsdp_config", REF, f"{REF}.fsdp_config")
    ),
    *(
        Row(
            (on(f"{block}.use_fused_kernels"),),
            LIMITED,
            "never builds the logits that edits are banned in",
            f"Set {MODEL}.use_fused_kernels=false.",
        )
        for block in (MODEL, ACTOR)
    ),
    Row(
        (
            other_than(
                f"{MODEL}.override_config.attn_implementation",
                *TREE_ATTENTION,
                example="flash_attention_2",
            ),
        ),
        HARD,
        "takes no tree mask",
        f"Set {MODEL}.override_config.attn_implementation=sdpa, or leave it out.",
    ),
    *(
        Row((on(key),), HARD, "was never tried with trees", f"Set {key}=false.")
        for key in (f"{MODEL}.use_liger", f"{ACTOR}.use_prefix_grouper")
    ),
    Row(
        (on(f"{MODEL}.mtp.enable"),),
        HARD,
        "predicts tokens from contexts that hold what was erased",
        f"Set {MODEL}.mtp.enable=false.",
    ),
    *(
        Row(
            (values,),
            HARD,
            "has a critic, which sees the raw trace with all that was erased",
            "Set algorithm.adv_estimator=backtrack_grpo, or another without a critic; critic.enable=null.",
        )
        for values in (on("critic.enable"), one_of("algorithm.adv_estimator", "gae"))
    ),
    Row(
        (on("distillation.enabled"),),
        HARD,
        "has a teacher, and a teacher scores the raw trace, with all that was erased",
        "Set distillation.enabled=false, or halluc.context=soft.",
    ),
    supported("is as in verl; hard context lays sequences out itself", on(f"{MODEL}.use_remove_padding")),
    supported("is as in verl", on(f"{ACTOR}.use_dynamic_bsz")),
    supported("compares with a reference in the same context", on(f"{ACTOR}.use_kl_loss")),
    supported("compares with a reference in the same context", on("algorithm.use_kl_in_reward")),
    supported(
        "takes the engine's log-probs for the actor's, and so no guard",
        on("algorithm.rollout_correction.bypass_mode"),
    ),
    supported(
        "corrects by processed log-probs",
        one_of("algorithm.rollout_correction.rollout_is", "token", "sequence"),
    ),
    supported("filters by our reward or any part of it", on("algorithm.filter_groups.enable")),
    supported(
        "reads rewards and masks alone", one_of("algorithm.adv_estimator", "grpo", "rloo", "opo", "gpg")
    ),
)

_ADAPTERS = (
    above(f"{MODEL}.lora_rank", 0),
    above(f"{MODEL}.lora.rank", 0),
    given(f"{MODEL}.lora_adapter_path", "adapter"),
)

_LORA = (
    *(
        Row(
            (values,),
            LIMITED,
            "was never tried there",
            f"Train all weights ({MODEL}.lora_rank=0), or in soft context without limits on edits.",
        )
        for values in _ADAPTERS
    ),
    *(
        Row(
            (values, one_of("trainer.device", "cpu"), off(f"{MODEL}.lora.merge")),
            EVERYWHERE,
            "hands vLLM an adapter, which its CPU backend cannot take",
            f"Set {MODEL}.lora_rank=0, or train on an accelerator.",
        )
        for values in _ADAPTERS
    ),
    supported(
        "leaves the rows of edit tokens as the start has them: refused where these are still as "
        f"`halluc add-token` wrote them, unless `{MODEL}.target_modules` names the embeddings or the output "
        "head; not run by us",
        above(f"{MODEL}.lora_rank", 0),
    ),
)

ENGINES: Table = {
    "Rollout engine": _ROLLOUT,
    "Actor, reference, critic, teacher": _ACTOR,
    "Low-rank updates": _LORA,
}
