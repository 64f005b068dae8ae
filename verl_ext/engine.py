"""An FSDP2 engine whose log-probs know which actions were banned.

Whatever bans tokens during sampling renormalises the behaviour policy (verl trains on vLLM's *processed*
log-probs), so old, reference and current log-probs and the entropy apply the same ban to the logits before
the softmax. The ban is a function of the trace: it is recomputed here from the ids, never transported.
"""

import copy
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPEngineConfig
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from halluc_plugin.edits import EditVocab, resolve
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.settings import Settings, load
from halluc_plugin.tokens import edit_vocab
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.run_settings import BANNING_ENGINE_CONFIG, BANNING_STRATEGY, STOCK_STRATEGY

BANNED_LOGIT = -1e4
"""Far below any real logit: the probability is exactly 0. Finite: the entropy multiplies it by 0."""


@EngineRegistry.register(
    model_type="language_model", backend=[BANNING_STRATEGY], device=["cuda", "npu", "cpu"]
)
class BacktrackFSDPEngine(FSDPEngineWithLMHead):
    """verl's FSDP2 engine with banned edit tokens taken out of the softmax.

    Raises:
        SettingsError: The config asks for something the ban cannot be applied to.
    """

    def __init__(self, model_config: Any, engine_config: FSDPEngineConfig, *args: Any, **kwargs: Any) -> None:
        _require_supported(model_config, engine_config)
        self._settings: Settings = load(engine_config.halluc)
        self._vocab: EditVocab = edit_vocab(
            model_config.tokenizer, step_delimiter=self._settings.tokens.step_delimiter
        )
        # The module builder of the base class knows its own names only.
        stock_config = copy.copy(engine_config)
        object.__setattr__(stock_config, "strategy", STOCK_STRATEGY)
        super().__init__(model_config, stock_config, *args, **kwargs)

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Any]:
        """The base class's outputs, computed from logits with the banned actions taken out."""
        rows, columns = _banned_positions(micro_batch, self._vocab, self._settings)
        if tu.get_non_tensor_data(data=micro_batch, key="use_remove_padding", default=True):
            columns = micro_batch["input_ids"].offsets()[rows] + columns
            rows = torch.zeros_like(rows)  # packed: [1, sum of lengths, V]
        edit_ids = torch.tensor(sorted(self._vocab.edit_ids), device=rows.device)
        output.logits[rows[:, None], columns[:, None], edit_ids] = BANNED_LOGIT
        return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)


def _require_supported(model_config: Any, engine_config: FSDPEngineConfig) -> None:
    if not isinstance(engine_config, BacktrackEngineConfig):
        raise SettingsError(
            f"strategy={BANNING_STRATEGY} is given without the halluc block.",
            f"Set fsdp_config._target_={BANNING_ENGINE_CONFIG} and fsdp_config.halluc=${{halluc}}.",
        )
    if model_config.use_fused_kernels:
        raise SettingsError(
            f"strategy={BANNING_STRATEGY} needs the logits, which fused kernels never build.",
            "Set actor_rollout_ref.model.use_fused_kernels=false.",
        )
    if engine_config.ulysses_sequence_parallel_size > 1:
        raise SettingsError(
            f"strategy={BANNING_STRATEGY} does not support Ulysses sequence parallelism.",
            "Set ulysses_sequence_parallel_size=1 for actor and ref.",
        )


def _banned_positions(micro_batch: TensorDict, vocab: EditVocab, settings: Settings) -> tuple[Tensor, Tensor]:
    """Rows and sequence positions (Long[N] each) whose logits chose an action while edits were banned."""
    prompt_lengths = micro_batch["prompts"].offsets().diff()
    if not prompt_lengths.all():
        raise TraceError(
            "A prompt is empty: nothing predicts its first action.", "Drop rows with an empty prompt."
        )
    responses = micro_batch["responses"]
    ids = responses.to_padded_tensor(0)
    valid = torch.arange(ids.shape[1], device=ids.device) < responses.offsets().diff()[:, None]
    resolution = resolve(ids, valid, vocab)
    banned = budget_mask(resolution, settings.max_backtracks, settings.boundary) & valid
    rows, actions = banned.nonzero(as_tuple=True)
    return rows, prompt_lengths[rows] + actions - 1
