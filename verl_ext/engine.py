"""An FSDP2 engine whose log-probs are those of the policy that was sampled from.

Two things make it another one than a causal forward over the raw trace. Whatever bans tokens during sampling
renormalises the behaviour policy (verl trains on vLLM's *processed* log-probs). And in hard context an action
saw the live text only. Both are functions of the trace: they are recomputed here from the ids, never
transported, for old, reference and current log-probs and for the entropy.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPEngineConfig
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from halluc_plugin.edits import EditVocab, Resolution, resolve
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard import require_tree_attention, tree_inputs
from halluc_plugin.settings import Context, Settings, load
from halluc_plugin.tokens import edit_vocab
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.run_settings import OWN_ENGINE_CONFIG, OWN_STRATEGY, STOCK_STRATEGY

BANNED_LOGIT = -1e4
"""Far below any real logit: the probability is exactly 0. Finite: the entropy multiplies it by 0."""

TRACES = "halluc_traces"


@EngineRegistry.register(model_type="language_model", backend=[OWN_STRATEGY], device=["cuda", "npu", "cpu"])
class BacktrackFSDPEngine(FSDPEngineWithLMHead):
    """verl's FSDP2 engine with banned edit tokens out of the softmax and, in hard context, tree attention.

    Raises:
        SettingsError: The config asks for something that cannot be done here.
    """

    def __init__(self, model_config: Any, engine_config: FSDPEngineConfig, *args: Any, **kwargs: Any) -> None:
        self._settings = _supported_settings(model_config, engine_config)
        self._hard = self._settings.context is Context.HARD
        self._vocab: EditVocab = edit_vocab(
            model_config.tokenizer, step_delimiter=self._settings.tokens.step_delimiter
        )
        # The module builder of the base class knows its own names only.
        stock_config = copy.copy(engine_config)
        object.__setattr__(stock_config, "strategy", STOCK_STRATEGY)
        super().__init__(model_config, stock_config, *args, **kwargs)

    def prepare_model_inputs(self, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
        """The base class's inputs; in hard context mask, positions and layout are the tree's."""
        model_inputs, output_args = super().prepare_model_inputs(micro_batch)
        traces = _Traces.of(micro_batch, self._vocab)
        output_args[TRACES] = traces
        if self._hard:
            _refuse_multi_modal(micro_batch, model_inputs)
            attention = require_tree_attention(self.module.config)
            inputs = tree_inputs(
                traces.prompt_ids, traces.prompt_valid, traces.resolution, attention, self._autocast_dtype
            )
            model_inputs |= inputs.model_inputs()
            traces.logit_index = inputs.logit_index
        return model_inputs, output_args

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Any]:
        """The base class's outputs, from the logits that each action was sampled from."""
        traces: _Traces = output_args.pop(TRACES)
        if self._hard:
            output.logits = traces.in_verls_layout(output.logits)
        if self._settings.bans_edits:
            self._ban(output.logits, traces, micro_batch)
        return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)

    def _ban(self, logits: Tensor, traces: "_Traces", micro_batch: TensorDict) -> None:
        banned = budget_mask(traces.resolution, self._settings.max_backtracks, self._settings.boundary)
        rows, actions = banned.nonzero(as_tuple=True)
        columns = traces.prompt_lengths[rows] + actions - 1
        if tu.get_non_tensor_data(data=micro_batch, key="use_remove_padding", default=True):
            columns = micro_batch["input_ids"].offsets()[rows] + columns
            rows = torch.zeros_like(rows)  # packed: [1, sum of lengths, V]
        edit_ids = torch.tensor(sorted(self._vocab.edit_ids), device=rows.device)
        logits[rows[:, None], columns[:, None], edit_ids] = BANNED_LOGIT


@dataclass
class _Traces:
    """The traces of a micro-batch, prompts and responses in blocks of their own, padded on the right.

    Attributes:
        prompt_ids: Long[B, P].
        prompt_valid: Bool[B, P].
        prompt_lengths: Long[B].
        resolution: Of the B responses of width T.
        logit_index: Long[B, T], of the tree, in coordinates of the two blocks; None in soft context.
    """

    prompt_ids: Tensor
    prompt_valid: Tensor
    prompt_lengths: Tensor
    resolution: Resolution
    logit_index: Tensor | None = None

    @classmethod
    def of(cls, micro_batch: TensorDict, vocab: EditVocab) -> "_Traces":
        prompt_ids, prompt_valid, prompt_lengths = _padded(micro_batch["prompts"])
        if not prompt_lengths.all():
            raise TraceError(
                "A prompt is empty: nothing predicts its first action.", "Drop rows with an empty prompt."
            )
        ids, valid, _ = _padded(micro_batch["responses"])
        return cls(prompt_ids, prompt_valid, prompt_lengths, resolve(ids, valid, vocab))

    def in_verls_layout(self, logits: Tensor) -> Tensor:
        """Logits of the two blocks, moved to where verl looks for them.

        In verl's padded layout a row is prompt, response, padding, and the logits of the token at position
        q + 1 stand at position q. They are read at the action's parent here.

        Args:
            logits: Float[B, P + T, V].

        Returns:
            Float[B, longest row, V].
        """
        assert self.logit_index is not None
        valid = self.resolution.valid
        lengths = self.prompt_lengths + valid.sum(1)
        width = int(lengths.max())
        index = torch.arange(width, device=logits.device).expand(len(lengths), width).clone()
        index.clamp_(max=logits.shape[1] - 1)  # a row's last position predicts nothing
        rows, actions = valid.nonzero(as_tuple=True)
        index[rows, self.prompt_lengths[rows] + actions - 1] = self.logit_index[rows, actions]
        return logits.gather(1, index[..., None].expand(-1, -1, logits.shape[-1]))


def _padded(nested: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (Long[B, width], 0 at padding), what is valid, and lengths (Long[B]) of a jagged tensor."""
    ids = nested.to_padded_tensor(0)
    lengths = nested.offsets().diff()
    return ids, torch.arange(ids.shape[1], device=ids.device) < lengths[:, None], lengths


def _supported_settings(model_config: Any, engine_config: FSDPEngineConfig) -> Settings:
    if not isinstance(engine_config, BacktrackEngineConfig):
        raise SettingsError(
            f"strategy={OWN_STRATEGY} is given without the halluc block.",
            f"Set fsdp_config._target_={OWN_ENGINE_CONFIG} and fsdp_config.halluc=${{halluc}}.",
        )
    settings = load(engine_config.halluc)
    refused = (
        # applies, what, what to do
        (
            model_config.use_fused_kernels,
            "needs the logits, which fused kernels never build",
            "Set actor_rollout_ref.model.use_fused_kernels=false.",
        ),
        (
            engine_config.ulysses_sequence_parallel_size > 1,
            "does not support Ulysses sequence parallelism",
            "Set ulysses_sequence_parallel_size=1 for actor and ref.",
        ),
        (
            settings.context is Context.HARD and model_config.use_remove_padding,
            "pads in hard context",
            "Set actor_rollout_ref.model.use_remove_padding=false.",
        ),
    )
    for applies, what, fix in refused:
        if applies:
            raise SettingsError(f"strategy={OWN_STRATEGY} {what}.", fix)
    return settings


def _refuse_multi_modal(micro_batch: TensorDict, model_inputs: dict[str, Any]) -> None:
    text_only = set(model_inputs) <= {"input_ids", "attention_mask", "position_ids"}
    if not text_only or micro_batch["position_ids"].dim() == 3:
        raise SettingsError(
            "Hard context trains on text only; this batch has images, video or positions of several axes.",
            "Use a text model and text prompts, or halluc.context=soft.",
        )
