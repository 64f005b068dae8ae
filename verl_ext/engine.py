"""An FSDP2 engine whose log-probs are those of the policy that was sampled from.

Two things make it another one than a causal forward over the raw trace. Whatever bans tokens during sampling
renormalises the behaviour policy (verl trains on vLLM's *processed* log-probs): limits on edits, and verl
itself, which lets vLLM sample none of the rows that a model has beyond its tokenizer's tokens. And in hard
context an action saw the live text only. All are functions of the trace: they are recomputed here from the
ids, never transported, for old, reference and current log-probs and for the entropy.

In hard context the engine lays micro-batches out itself: padded, whatever ``use_remove_padding`` says, and
without the logits of prompts.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from verl.utils import tensordict_utils as tu
from verl.utils.model import extract_multi_modal_inputs
from verl.workers.config import FSDPEngineConfig
from verl.workers.engine.base import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from halluc_plugin.edits import Context, EditVocab, Resolution, resolve
from halluc_plugin.edits.builders import budget_mask
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard import TreeInputs, require_tree_attention, tree_inputs
from halluc_plugin.settings import Settings, load
from halluc_plugin.tokens import edit_vocab
from verl_ext.columns import BUDGET, EDIT_PROBS
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.host_settings.keys import OWN_STRATEGY, STOCK_STRATEGY
from verl_ext.run_settings import OWN_ENGINE_CONFIG

BANNED_LOGIT = -1e4
"""Far below any real logit: the probability is exactly 0. Finite: the entropy multiplies it by 0."""

CHUNK = 1024
"""Actions whose logits are looked at at a time, for the probability of an edit."""

TRACES, TREE = "halluc_traces", "halluc_tree"


@EngineRegistry.register(model_type="language_model", backend=[OWN_STRATEGY], device=["cuda", "npu", "cpu"])
class BacktrackFSDPEngine(FSDPEngineWithLMHead):
    """verl's FSDP2 engine with banned edit tokens out of the softmax and, in hard context, tree attention.

    Raises:
        SettingsError: The config asks for something that cannot be done here.
    """

    def __init__(self, model_config: Any, engine_config: FSDPEngineConfig, *args: Any, **kwargs: Any) -> None:
        self._settings = _supported_settings(model_config, engine_config)
        self._hard = self._settings.context is Context.HARD
        if self._hard:
            self._attention = require_tree_attention(model_config.hf_config)
        self._vocab: EditVocab = edit_vocab(
            model_config.tokenizer, step_delimiter=self._settings.tokens.step_delimiter
        )
        self._sampled = len(model_config.tokenizer)  # as verl counts for its rollout, gaps or none
        # The module builder of the base class knows its own names only.
        stock_config = copy.copy(engine_config)
        object.__setattr__(stock_config, "strategy", STOCK_STRATEGY)
        super().__init__(model_config, stock_config, *args, **kwargs)

    def prepare_model_inputs(self, micro_batch: TensorDict) -> tuple[dict[str, Any], dict[str, Any]]:
        """The base class's inputs; in hard context the tree's."""
        traces = _Traces.of(micro_batch, self._vocab)
        if not self._hard:
            model_inputs, output_args = super().prepare_model_inputs(micro_batch)
            return model_inputs, {**output_args, TRACES: traces}
        _refuse_media(micro_batch)
        tree = tree_inputs(
            traces.prompt_ids,
            traces.prompt_valid,
            traces.resolution,
            self._attention,
            self._autocast_dtype,
        )
        return {**tree.model_inputs(), "logits_to_keep": tree.logits_to_keep}, {TRACES: traces, TREE: tree}

    def prepare_model_outputs(
        self, output: Any, output_args: dict[str, Any], micro_batch: TensorDict, logits_processor_func: Any
    ) -> dict[str, Any]:
        """The base class's outputs, from the logits that each action was sampled from."""
        traces: _Traces = output_args.pop(TRACES)
        banned = budget_mask(traces.resolution, self._budget(micro_batch), self._settings.boundary)
        if self._sampled < output.logits.shape[-1]:
            output.logits[..., self._sampled :] = BANNED_LOGIT
        if self._hard:
            return self._hard_outputs(output, output_args.pop(TREE), traces, banned, micro_batch)
        packed = tu.get_non_tensor_data(data=micro_batch, key="use_remove_padding", default=True)
        if self._settings.bans_edits:
            self._ban(output.logits, *traces.before(banned, packed=packed))
        told = self._edit_probs(
            output.logits, traces, traces.before(traces.resolution.valid, packed=packed), micro_batch
        )
        return {
            **super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func),
            **told,
        }

    def _budget(self, micro_batch: TensorDict) -> int | Tensor | None:
        """Of all rows; with a curriculum each row's own: a batch may hold rollouts of several stages."""
        if not self._settings.curriculum:
            return self._settings.max_backtracks
        if BUDGET not in micro_batch.keys():  # noqa: SIM118 - a TensorDict iterates over rows
            raise TraceError(
                f"The batch has no column {BUDGET}, so the budgets of its rows are not known.",
                "With a curriculum, use the agent loop 'backtrack'.",
            )
        column = micro_batch[BUDGET]
        return (column.values() if column.is_nested else column).reshape(-1)

    def _hard_outputs(
        self, output: Any, tree: TreeInputs, traces: "_Traces", banned: Tensor, micro_batch: TensorDict
    ) -> dict[str, Any]:
        """The base class sees a packed batch of actions alone, each with the logits of its parent."""
        output.logits = tree.at_actions(output.logits)[None]  # [1, N, V]
        (columns,) = banned[tree.valid].nonzero(as_tuple=True)
        self._ban(output.logits, torch.zeros_like(columns), columns)
        every = torch.arange(output.logits.shape[1], device=columns.device)
        told = self._edit_probs(output.logits, traces, (torch.zeros_like(every), every), micro_batch)
        actions = micro_batch.clone(recurse=False)
        actions["input_ids"] = micro_batch["responses"]
        tu.assign_non_tensor(actions, use_remove_padding=True)
        temperature = micro_batch["temperature"]
        output_args = {
            "temperature_is_one": not isinstance(temperature, Tensor) and float(temperature) == 1,
            "temperature_rmpad": traces.for_each_action(temperature),
            "input_ids_rmpad_rolled": micro_batch["responses"].values(),
            "pad_size": 0,
        }
        outputs = super().prepare_model_outputs(output, output_args, actions, None)
        return {
            **{name: traces.in_verls_layout(nested.values()) for name, nested in outputs.items()},
            **told,
        }

    def _edit_probs(
        self, logits: Tensor, traces: "_Traces", places: tuple[Tensor, Tensor], micro_batch: TensorDict
    ) -> dict[str, Tensor]:
        """Of each action the probability that it is an edit, where verl asks for entropies, too.

        Args:
            logits: Float[rows, columns, V], with what is banned.
            traces: Of the micro-batch.
            places: Long[N] each: row and column of the logits that the N actions were sampled from.
            micro_batch: Says temperature, and whether this is the actor's pass before the update.
        """
        asked = tu.get_non_tensor_data(data=micro_batch, key="calculate_entropy", default=False)
        if not asked or torch.is_grad_enabled():
            return {}
        temperature = traces.for_each_action(micro_batch["temperature"]).clamp(min=1e-8)
        edit_ids = torch.tensor(sorted(self._vocab.edit_ids), device=logits.device)
        found = []
        for rows, columns, scale in zip(*(part.split(CHUNK) for part in (*places, temperature)), strict=True):
            scaled = logits[rows, columns].float() / scale[:, None]
            found.append((scaled[:, edit_ids].logsumexp(-1) - scaled.logsumexp(-1)).exp().clamp(max=1.0))
        return {EDIT_PROBS: traces.in_verls_layout(torch.cat(found))}

    def _ban(self, logits: Tensor, rows: Tensor, columns: Tensor) -> None:
        edit_ids = torch.tensor(sorted(self._vocab.edit_ids), device=logits.device)
        logits[rows[:, None], columns[:, None], edit_ids] = BANNED_LOGIT


@dataclass(frozen=True)
class _Traces:
    """The traces of a micro-batch, prompts and responses in blocks of their own, padded on the right.

    Attributes:
        prompt_ids: Long[B, P].
        prompt_valid: Bool[B, P].
        prompt_lengths: Long[B].
        resolution: Of the B responses of width T.
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

    def before(self, chosen: Tensor, *, packed: bool) -> tuple[Tensor, Tensor]:
        """Where the logits of actions are: rows and columns (Long[N] each) one position before each.

        Args:
            chosen: Bool[B, T], which actions.
            packed: Whether logits are Float[1, sum of lengths, V], else Float[B, longest, V].
        """
        rows, actions = chosen.nonzero(as_tuple=True)
        columns = self.prompt_lengths[rows] + actions - 1
        if not packed:
            return rows, columns
        return torch.zeros_like(rows), self.offsets[rows] + columns

    def for_each_action(self, value: Any) -> Tensor:
        """Float[N]: a number, or one for each row, for each of the N actions."""
        lengths = self.resolution.raw_length
        value = torch.as_tensor(value, dtype=torch.float32, device=lengths.device)
        return value.expand(len(lengths)).repeat_interleave(lengths)

    def in_verls_layout(self, values: Tensor) -> Tensor:
        """Packed values of actions (Float[N]) where verl looks for them: one position before the action.

        Returns:
            Jagged Float[B, prompt and response], 0 at positions that verl does not read.
        """
        _, index = self.before(self.resolution.valid, packed=True)
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
