"""Refuse what a rewinding engine cannot do, before it starts or before a request is queued."""

from typing import Any

from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams, SamplingType
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig

from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.compat import Model, require_tested_vllm, returns_routed_experts
from halluc_plugin.vllm_engine.launch import PROCESSOR, SCHEDULER
from halluc_plugin.vllm_engine.request import MOST, PREFIX, EditRequest, shown

FULL = "full_attention"


def check_config(config: VllmConfig) -> None:
    """Refuse a configuration in which a request cannot be rewound exactly.

    Args:
        config: The configuration of the engine.

    Raises:
        SettingsError: A feature does not allow rewinding; the message names it and how to do without it.
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
        (returns_routed_experts(config), "enable_return_routed_experts", "Leave it out."),
        (model.enable_prompt_embeds, "prompt embeddings, which are untested", "Leave them out."),
        (not causal, "a model that does not generate from left to right", "Use a causal language model."),
    )
    for applies, what, fix in refused:
        if applies:
            raise _refusal(what, fix)
    layers = set(getattr(model.hf_text_config, "layer_types", None) or [FULL])
    if model.is_hybrid or layers != {FULL}:
        raise _no_full_attention(f"layers of kind {', '.join(sorted(layers - {FULL})) or 'recurrent'}")


def check_runner_v2(config: VllmConfig) -> None:
    """Refuse a configuration in which limits on edits cannot be kept by model runner V2.

    Args:
        config: The configuration of an engine that runs runner V2.

    Raises:
        HostVersionError: vLLM is outside the tested window.
        SettingsError: A feature samples from other rows than one for each request.
    """
    require_tested_vllm()
    for applies, what in (
        (config.speculative_config is not None, "speculative decoding (speculative_config)"),
        (config.parallel_config.enable_batch_sharded_sampling, "enable_batch_sharded_sampling"),
    ):
        if applies:
            raise SettingsError(
                f"Limits on edits do not work with {what} on model runner V2.",
                "Leave it out, or the limits (max_backtracks, boundary=mask) and their logits processor.",
            )


def check_processors(config: VllmConfig) -> None:
    """Refuse a rewinding scheduler without the logits processor that bans for it.

    Raises:
        SettingsError: The processor is missing.
    """
    given = config.model_config.logits_processors or ()
    if not any(p == PROCESSOR or getattr(p, "rewinds", False) for p in given):
        raise SettingsError(
            f"The engine has scheduler_cls={SCHEDULER} but not its logits processor.",
            f"Add logits_processors=['{PROCESSOR}'].",
        )


def check_scheduler(config: VllmConfig) -> None:
    """Refuse the logits processor of hard context on a scheduler that does not rewind.

    Raises:
        SettingsError: The scheduler does not rewind.
    """
    scheduler = config.scheduler_config.get_scheduler_cls()
    if not getattr(scheduler, "rewinds", False):
        raise SettingsError(
            f"The engine has the logits processor {PROCESSOR} but the scheduler {scheduler.__qualname__}.",
            f"Set scheduler_cls='{SCHEDULER}', or use EditBudget for soft context.",
        )


def check_kv_cache(kv_cache: KVCacheConfig) -> None:
    """Refuse a KV cache that drops or compresses old positions.

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


def check_request(request: EditRequest, params: SamplingParams, model: Model | None) -> None:
    """Refuse a request that would fail, or end the engine.

    Args:
        request: The edit settings of the request.
        params: All sampling parameters of the request.
        model: The model that answers it; None if it is not known, so that ids are not compared with it.

    Raises:
        SettingsError: A setting cannot be honoured; the message names it.
    """
    edit_ids = request.vocab.edit_ids
    if model is not None:
        request.check_ids(model.vocab_size)
        _check_ids_of_vllm(params, model.vocab_size)
        ends = edit_ids & model.eos_ids
        if ends:
            raise SettingsError(
                f"Edit token {min(ends)} is the model's end of a text.", "Give the id of an edit token."
            )
    if params.allowed_token_ids is not None and _may_ban_all(request, params):
        raise SettingsError(
            "allowed_token_ids leaves nothing to sample once the request's own limits ban what it allows.",
            f"Allow more tokens of text, or take {PREFIX}budget, {PREFIX}boundary or {PREFIX}tabu back.",
        )
    if request.context is Context.HARD:
        _check_hard_request(request, params)


def _check_ids_of_vllm(params: SamplingParams, vocab_size: int) -> None:
    """Check ids that vLLM itself writes to, and does not compare with the vocabulary before 0.29."""
    given = {
        "stop_token_ids": params.stop_token_ids if params.min_tokens else None,
        "allowed_token_ids": params.allowed_token_ids,
    }
    for name, ids in given.items():
        for token_id in ids or ():
            if not isinstance(token_id, int) or not 0 <= token_id < vocab_size:
                raise SettingsError(
                    f"{name} holds {shown(token_id)}, but the ids of the model are 0 to {vocab_size - 1}.",
                    "Give ids of the model's tokenizer.",
                )


def _may_ban_all(request: EditRequest, params: SamplingParams) -> bool:
    """Whether everything in ``allowed_token_ids`` can be banned at once."""
    if request.budget is None and request.boundary is Boundary.NOOP:
        return False  # edits never are
    text = set(params.allowed_token_ids or ()) - request.vocab.edit_ids
    if params.min_tokens:
        text -= params.all_stop_token_ids
    actions = (request.budget, request.max_actions, params.max_tokens)
    rejections = min(number for number in (*actions, MOST) if number is not None)  # a token for each edit
    return len(text) <= (0 if request.tabu is Tabu.OFF else rejections)


def _check_hard_request(request: EditRequest, params: SamplingParams) -> None:
    if params.structured_outputs is not None:
        raise SettingsError(
            "A request in hard context asks for structured output, whose grammar cannot be rewound.",
            f"Leave one out, or set {PREFIX}context=soft.",
        )
    if params.stop:
        raise SettingsError(
            f"A request in hard context has stop strings {shown(params.stop)}, which match erased text too.",
            "Use stop_token_ids, or cut the collapsed answer yourself.",
        )
    if params.thinking_token_budget is not None:
        raise SettingsError(
            "A request in hard context has a thinking_token_budget, which counts erased tokens.",
            "Leave it out.",
        )
    stops = request.vocab.edit_ids & (params.all_stop_token_ids | set(params.stop_token_ids or ()))
    if stops:
        raise SettingsError(f"Edit token {min(stops)} is a stop token too.", "Take it out of the stops.")
    unlimited = request.budget is None or request.trigger is not None
    free = request.tabu is Tabu.OFF and unlimited
    if params.sampling_type is SamplingType.GREEDY and free:
        raise SettingsError(
            "Greedy decoding in hard context returns to the same state after every edit and loops.",
            f"Set {PREFIX}tabu, {PREFIX}budget, or a temperature above 0.",
        )


def _refusal(what: str, fix: str) -> SettingsError:
    return SettingsError(f"Hard context does not work with {what}.", fix)


def _no_full_attention(what: str) -> SettingsError:
    return _refusal(
        f"{what}: only full attention can be rewound",
        "Use a model with full attention in every layer, or context=soft without RewindScheduler.",
    )
