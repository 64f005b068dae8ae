"""The arguments with which an engine must be started, in hard context and in soft; they need no vLLM."""

from typing import Any

SCHEDULER = "halluc_plugin.vllm_engine.scheduler.RewindScheduler"
PROCESSOR = "halluc_plugin.vllm_engine.bans:RewindBans"
SOFT_PROCESSOR = "halluc_plugin.vllm_engine.budget:EditBudget"
"""The logits processor of soft context, which limits edits; hard context has limits of its own."""
KNOWN_IDS = "halluc_plugin.vllm_engine.known_ids:KnownIds"
"""The logits processor of any context that bans the model's rows beyond the tokens of its tokenizer."""

RESEEDING = "halluc_plugin.vllm_engine.reseeding.Reseeding"
"""The extension of vLLM's workers by which a sampler of :mod:`.sampler` restarts their random numbers."""

ENGINE_ARGS: dict[str, Any] = {
    "scheduler_cls": SCHEDULER,
    "logits_processors": [PROCESSOR],
    "async_scheduling": False,
}
"""Arguments of ``vllm.LLM`` and ``vllm.AsyncEngineArgs``.

On the command line: ``vllm serve MODEL --scheduler-cls SCHEDULER --logits-processors PROCESSOR
--no-async-scheduling``. Before vLLM 0.31 the processor also makes vLLM choose its model runner V1; from 0.31
on a GPU needs ``VLLM_USE_V2_MODEL_RUNNER=0`` in the environment, and the engine says so.
"""
