"""What a rewinding engine cannot do, refused before it starts."""

from typing import Any

from vllm.config import VllmConfig
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig

from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.hard import PROCESSOR, SCHEDULER

FULL = "full_attention"


def check_config(config: VllmConfig) -> None:
    """Refuse a configuration in which a request cannot be rewound exactly.

    Args:
        config: Of the engine.

    Raises:
        SettingsError: Naming the feature and what to do without it.
    """
    parallel, model = config.parallel_config, config.model_config
    one = parallel.decode_context_parallel_size == parallel.prefill_context_parallel_size == 1
    causal = model.runner_type == "generate" and not model.is_encoder_decoder and not model.is_diffusion
    connected = config.kv_transfer_config is not None or config.ec_transfer_config is not None
    refused = (
        # applies, what, what to do
        (
            parallel.pipeline_parallel_size > 1,
            "pipeline parallelism: only the last stage learns of a rewind",
            "Set pipeline_parallel_size=1.",
        ),
        (not one, "context parallelism, which is untested", "Set its sizes to 1."),
        (
            connected,
            "a KV or encoder connector, which may have copied what is rewound",
            "Leave the connector out.",
        ),
        (
            config.speculative_config is not None,
            "speculative decoding, whose drafts may hold edits",
            "Leave speculative_config out.",
        ),
        (
            config.use_v2_model_runner,
            "model runner V2, which keeps its own count of tokens",
            "Set VLLM_USE_V2_MODEL_RUNNER=0.",
        ),
        (model.enable_return_routed_experts, "enable_return_routed_experts", "Leave it out."),
        (model.enable_prompt_embeds, "prompt embeddings, which are untested", "Leave them out."),
        (not causal, "a model that does not generate from left to right", "Use a causal language model."),
    )
    for applies, what, fix in refused:
        if applies:
            raise _refusal(what, fix)
    layers = set(getattr(model.hf_text_config, "layer_types", None) or [FULL])
    if model.is_hybrid or layers != {FULL}:
        raise _no_full_attention(f"layers of kind {', '.join(sorted(layers - {FULL})) or 'recurrent'}")


def check_processors(config: VllmConfig) -> None:
    """Refuse a rewinding scheduler without the processor that bans for it.

    Raises:
        SettingsError: The processor is missing.
    """
    from halluc_plugin.vllm_engine.bans import RewindBans

    given = config.model_config.logits_processors or ()
    if not any(p == PROCESSOR or (isinstance(p, type) and issubclass(p, RewindBans)) for p in given):
        raise SettingsError(
            f"The engine has scheduler_cls={SCHEDULER} but not its logits processor.",
            f"Add logits_processors=['{PROCESSOR}'].",
        )


def check_scheduler(config: VllmConfig) -> None:
    """Refuse the processor of hard context on a scheduler that does not rewind.

    Raises:
        SettingsError: The scheduler is another one.
    """
    from halluc_plugin.vllm_engine.scheduler import RewindScheduler

    scheduler = config.scheduler_config.get_scheduler_cls()
    if not issubclass(scheduler, RewindScheduler):
        raise SettingsError(
            f"The engine has the logits processor {PROCESSOR} but the scheduler {scheduler.__qualname__}.",
            f"Set scheduler_cls='{SCHEDULER}', or use EditBudget for soft context.",
        )


def check_kv_cache(kv_cache: KVCacheConfig) -> None:
    """Refuse a KV cache that forgets or compresses old positions.

    Raises:
        SettingsError: A layer has no full attention.
    """
    groups = kv_cache.kv_cache_groups
    for group in groups:
        spec: Any = group.kv_cache_spec
        if not isinstance(spec, FullAttentionSpec) or spec.sliding_window or spec.attention_chunk_size:
            raise _no_full_attention(f"a KV cache of kind {type(spec).__name__}")
    if len(groups) != 1:
        raise _no_full_attention(f"{len(groups)} groups of KV caches")


def _refusal(what: str, fix: str) -> SettingsError:
    return SettingsError(f"Hard context does not work with {what}.", fix)


def _no_full_attention(what: str) -> SettingsError:
    return _refusal(
        f"{what}: only full attention can be rewound",
        "Use a model with full attention in every layer, or context=soft without RewindScheduler.",
    )
