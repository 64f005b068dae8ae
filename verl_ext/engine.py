"""An FSDP2 engine whose log-probs are those of the policy that was sampled.

That policy differs from a causal forward pass over the raw trace in two ways. Tokens that are banned during
sampling renormalise the policy (verl trains on vLLM's *processed* log-probs): bans come from limits on edits,
and from verl, which keeps vLLM from sampling rows beyond the tokenizer's tokens. And in hard context an
action saw the live text only. Both are functions of the trace: they are recomputed here from the ids, never
transported, for old, reference and current log-probs and for the entropy.

Logits are computed only where an action reads them and never held as a whole
(:mod:`halluc_plugin.hard.head`). In hard context the engine lays micro-batches out itself, packed whatever
``use_remove_padding`` says.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.utils.device import get_device_id
from verl.utils.model import extract_multi_modal_inputs
from verl.workers.config import FSDPEngineConfig
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from halluc_plugin.edits import Context, EditVocab, Resolution, resolve
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard import (
    ACTIONS,
    ActionOutput,
    ActionQuery,
    Statistic,
    causal_model,
    check_reading,
    lay_out,
    reading_actions,
    require_tree_attention,
)
from halluc_plugin.settings import Settings, load
from halluc_plugin.tokens import edit_vocab
from verl_ext.columns import BUDGET, EDIT_PROBS
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.host_settings.keys import OWN_STRATEGY, STOCK_STRATEGY
from verl_ext.run_settings import OWN_ENGINE_CONFIG

TRACES = "halluc_traces"

OUTPUTS = {
    Statistic.LOG_PROB: "log_probs",
    Statistic.ENTROPY: "entropy",
    Statistic.SQUARES: "sum_pi_squared",
    Statistic.EDIT_MASS: EDIT_PROBS,
}
"""Names of the statistics among verl's outputs."""


@EngineRegistry.register(model_type="language_model", backend=[OWN_STRATEGY], device=["cuda", "npu", "cpu"])
class BacktrackFSDPEngine(FSDPEngineWithLMHead):
    """verl's FSDP2 engine with banned edit tokens out of the softmax and, in hard context, tree attention.

    Raises:
        SettingsError: The config asks for something that the engine cannot do.
    """

    def __init__(self, model_config: Any, engine_config: FSDPEngineConfig, *args: Any, **kwargs: Any) -> None:
        self._settings = _supported_settings(model_config, engine_config)
        self._hard = self._settings.context is Context.HARD
        if self._hard:
            require_tree_attention(model_config.hf_config)
        self._vocab: EditVocab = edit_vocab(
            model_config.tokenizer, step_delimiter=self._settings.tokens.step_delimiter
        )
        self._sampled = len(model_config.tokenizer)  # as verl counts for its rollout, gaps or none
        self._checked = False
        # The module builder of the base class knows its own names only.
        stock_config = copy.copy(engine_config)
        object.__setattr__(stock_config, "strategy", STOCK_STRATEGY)
        super().__init__(model_config, stock_config, *args, **kwargs)

    def forward_step(self, micro_batch: TensorDict, loss_function: Any, forward_only: bool) -> Any:
        """Return the result of the base class's step.

        Before the first step, a short row is compared with the model's own logits.
        """
        if not self._checked:
            self._checked = True
            self._check_reading()
        with reading_actions(self.module):
            return super().forward_step(micro_batch, loss_function, forward_only)

    def _check_reading(self) -> None:
        how = {"autocast": self._autocast_dtype, "device": get_device_id()}
        try:
            check_reading(self.module, self._vocab, self._settings.context, **how)
        except SettingsError as error:
            if self._settings.needs_own_engine:
                raise
            raise SettingsError(
                error.cause,
                "Set ++halluc.trace_log.edit_probs=false: verl's own engine scores the model then, and the "
                "probability of an edit stays unknown.",
            ) from error

    def prepare_model_inputs(self, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the base class's inputs, or packed rows in hard context, and the actions to read."""
        traces = _Traces.of(micro_batch, self._vocab)
        if self._hard:
            _refuse_media(micro_batch)
            laid = lay_out(
                causal_model(self.module), traces.prompt_ids, traces.prompt_valid, traces.resolution
            )
            return {**laid.arguments, ACTIONS: self._query(laid.index, traces, micro_batch)}, {TRACES: traces}
        model_inputs, output_args = super().prepare_model_inputs(micro_batch)
        if tu.get_non_tensor_data(data=micro_batch, key="distillation_use_topk", default=False):
            self._refuse_bans("Distillation reads the logits of a teacher's likeliest tokens")
            return model_inputs, output_args
        index = traces.index_of_raw(model_inputs["input_ids"])
        return {**model_inputs, ACTIONS: self._query(index, traces, micro_batch)}, {TRACES: traces}

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Any]:
        """Return the statistics of each action, in verl's layout."""
        if not isinstance(output, ActionOutput):
            return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)
        traces: _Traces = output_args[TRACES]
        read = {name: getattr(output, statistic.value) for statistic, name in OUTPUTS.items()}
        return {name: traces.in_verls_layout(values) for name, values in read.items() if values is not None}

    def _refuse_bans(self, who: str) -> None:
        rows = causal_model(self.module).config.get_text_config().vocab_size
        if self._settings.bans_edits or self._sampled < rows:
            raise SettingsError(
                f"{who}, and from those nothing is banned.",
                "Leave out limits on edits (halluc.max_backtracks, halluc.boundary), or the distillation.",
            )

    def _query(self, index: Tensor, traces: "_Traces", micro_batch: TensorDict) -> ActionQuery:
        resolution = traces.resolution
        banned = budget_mask(resolution, self._budget(micro_batch), self._settings.boundary)

        def asked(name: str) -> bool:
            return bool(tu.get_non_tensor_data(data=micro_batch, key=f"calculate_{name}", default=False))

        wanted = [Statistic.LOG_PROB]
        if asked("entropy"):
            wanted.append(Statistic.ENTROPY)
            if not torch.is_grad_enabled():  # the actor's pass before the update
                wanted.append(Statistic.EDIT_MASS)
        if asked("sum_pi_squared"):
            wanted.append(Statistic.SQUARES)
        chunked = self.engine_config.entropy_from_logits_with_chunking
        return ActionQuery(
            index=index,
            ids=micro_batch["responses"].values(),
            edit_ids=self._vocab.edit_ids,
            unknown=lambda rows: range(self._sampled, rows),
            temperature=traces.for_each_action(micro_batch["temperature"]),
            banned=banned[resolution.valid] if self._settings.bans_edits else None,
            wanted=tuple(wanted),
            chunk=self.engine_config.entropy_from_logits_chunk_size if chunked else None,
        )

    def _budget(self, micro_batch: TensorDict) -> int | Tensor | None:
        """Return the budget of all rows, or with a curriculum that of each row.

        A batch may hold rollouts of several stages.
        """
        if not self._settings.curriculum:
            return self._settings.max_backtracks
        if BUDGET not in micro_batch.keys():  # noqa: SIM118 - a TensorDict iterates over rows
            raise TraceError(
                f"The batch has no column {BUDGET}, so the budgets of its rows are not known.",
                "With a curriculum, use the agent loop 'backtrack'.",
            )
        column = micro_batch[BUDGET]
        return (column.values() if column.is_nested else column).reshape(-1)


@dataclass(frozen=True)
class _Traces:
    """The traces of a micro-batch, prompts and responses in blocks of their own, padded on the right.

    Attributes:
        prompt_ids: Long[B, P].
        prompt_valid: Bool[B, P].
        prompt_lengths: Long[B].
        resolution: The resolution of the B responses of width T.
        offsets: Long[B + 1], where each row (prompt and response) begins when they are packed.
    """

    prompt_ids: Tensor
    prompt_valid: Tensor
    prompt_lengths: Tensor
    resolution: Resolution
    offsets: Tensor

    @classmethod
    def of(cls, micro_batch: TensorDict, vocab: EditVocab) -> "_Traces":
        prompt_ids, prompt_valid, prompt_lengths = _padded(micro_batch["prompts"])
        if not prompt_lengths.all():
            raise TraceError(
                "A prompt is empty: nothing predicts its first action.", "Drop rows with an empty prompt."
            )
        ids, valid, _ = _padded(micro_batch["responses"])
        resolution = resolve(ids, valid, vocab)
        return cls(prompt_ids, prompt_valid, prompt_lengths, resolution, micro_batch["input_ids"].offsets())

    def index_of_raw(self, input_ids: Tensor) -> Tensor:
        """Long[N]: where the logits of actions stand in the flattened ids of the base class's layout."""
        rows, actions = self.resolution.valid.nonzero(as_tuple=True)
        packed = len(input_ids) == 1
        starts = self.offsets[:-1] if packed else torch.arange(len(input_ids)).to(rows) * input_ids.shape[1]
        return starts[rows] + self.prompt_lengths[rows] + actions - 1

    def for_each_action(self, value: Any) -> Tensor | None:
        """Float[N]: a number, or one for each row, for each of the N actions; None if it is 1."""
        if not isinstance(value, Tensor) and float(value) == 1:
            return None
        lengths = self.resolution.raw_length
        value = torch.as_tensor(value, dtype=torch.float32, device=lengths.device).clamp(min=1e-8)  # as verl
        return value.expand(len(lengths)).repeat_interleave(lengths)

    def in_verls_layout(self, values: Tensor) -> Tensor:
        """Packed values of actions (Float[N]) where verl looks for them: one position before the action.

        Returns:
            Jagged Float[B, prompt and response], 0 at positions that verl does not read.
        """
        rows, actions = self.resolution.valid.nonzero(as_tuple=True)
        index = self.offsets[rows] + self.prompt_lengths[rows] + actions - 1
        whole = values.new_zeros(int(self.offsets[-1])).index_put((index,), values)
        return torch.nested.nested_tensor_from_jagged(whole, self.offsets)


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
    )
    for applies, what, fix in refused:
        if applies:
            raise SettingsError(f"strategy={OWN_STRATEGY} {what}.", fix)
    return load(engine_config.halluc)


def _refuse_media(micro_batch: TensorDict) -> None:
    media = extract_multi_modal_inputs(micro_batch.get("multi_modal_inputs", []))
    if media or micro_batch["position_ids"].dim() == 3:
        raise SettingsError(
            "Hard context trains on text only; this batch has images, video or positions of several axes.",
            "Use a text model and text prompts, or halluc.context=soft.",
        )
