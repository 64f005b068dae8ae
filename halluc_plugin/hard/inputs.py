"""Lay a batch of raw traces out for one forward pass: packed, or padded for models that need it."""

from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.edits import (
    Context,
    Resolution,
    flex_mask_mod,
    logit_index,
    position_ids,
    tree_attention_mask,
)
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard.models import Attention, require_tree_attention
from halluc_plugin.hard.packed import packed_inputs
from halluc_plugin.hard.packed_attention import take_packed_rows

FLEX_DEVICES = frozenset({"cuda", "xpu", "hpu"})
"""Devices on which torch's flex attention has a backward pass (torch 2.13)."""


@dataclass(frozen=True)
class ModelInputs:
    """The inputs of a model for B rows, as one packed sequence or as padded rows.

    Attributes:
        arguments: Keyword arguments of the model: ``input_ids``, ``attention_mask``, and ``position_ids``
            unless the model computes them itself. In hard context there is always a mask: without one,
            transformers would take rewound positions for packed sequences.
        index: Position in the flattened batch of the logits of each valid action, row by row, Long[N].
    """

    arguments: dict[str, Any]
    index: torch.Tensor


def lay_out(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    context: Context = Context.HARD,
) -> ModelInputs:
    """Lay out prompts and raw traces as a model can take them.

    Args:
        model: A transformers causal language model, without wrappers. If its layers look their attention
            function up in transformers, it is switched to attention that also takes packed rows.
        prompt_ids: The token ids of the prompts, Long[B, P], padded on either side.
        prompt_valid: Which positions hold a prompt token, Bool[B, P].
        resolution: The resolution of the B responses of width T.
        context: What each action sees: what was live (hard), or all that is before it (soft).

    Returns:
        The inputs of the model, and where the logits of each action are.

    Raises:
        SettingsError: The model's attention cannot follow a tree (hard context).
        TraceError: The shapes do not fit, or a prompt is empty.
    """
    if prompt_ids.shape != prompt_valid.shape:
        raise TraceError(
            f"prompt_ids have shape {tuple(prompt_ids.shape)}, prompt_valid {tuple(prompt_valid.shape)}.",
            "Pass both as [batch, prompt length].",
        )
    attention = require_tree_attention(model.config) if context is Context.HARD else _full(model.config)
    if attention is not None and take_packed_rows(model):
        blocks = _by_blocks(attention, prompt_ids.device)
        packed = packed_inputs(prompt_ids, prompt_valid, resolution, context, blocks=blocks)
        return ModelInputs(packed.model_inputs(), packed.index)
    # Prompts to the left edge: rows are then prompt, response, padding.
    order = prompt_valid.long().argsort(dim=1, stable=True)
    prompt_ids, prompt_valid = prompt_ids.gather(1, order), prompt_valid.gather(1, order)
    ids = torch.cat([prompt_ids, resolution.ids], 1)
    width, (rows, actions) = ids.shape[1], resolution.valid.nonzero(as_tuple=True)
    if attention is None or context is Context.SOFT:
        valid = torch.cat([prompt_valid, resolution.valid], 1)
        counted = (valid.long().cumsum(1) - 1).clamp(min=0)
        causal = {"input_ids": ids, "attention_mask": valid.long(), "position_ids": counted}
        return ModelInputs(causal, rows * width + prompt_ids.shape[1] + actions - 1)
    arguments = {
        "input_ids": ids,
        "attention_mask": _dense(resolution, prompt_valid, attention, model.dtype),
        "position_ids": position_ids(resolution, prompt_valid),
    }
    return ModelInputs(arguments, rows * width + logit_index(resolution, prompt_valid)[rows, actions])


def _by_blocks(attention: Attention, device: torch.device) -> bool:
    """Whether rows are attended to by blocks; else by groups, which have a backward on every device."""
    if attention is Attention.FLEX and not torch.is_grad_enabled():
        return True
    return attention is not Attention.EAGER and device.type in FLEX_DEVICES


def _full(config: Any) -> Attention | None:
    """The attention of a model without windows or states; None if it has some, or takes causal masks only."""
    try:
        return require_tree_attention(config)
    except SettingsError:
        return None


def _dense(
    resolution: Resolution, prompt_valid: torch.Tensor, attention: Attention, dtype: torch.dtype
) -> Any:
    """Return the mask of padded rows, Bool[B, 1, P + T, P + T]; additive for ``eager``, blocks for flex."""
    if attention is Attention.FLEX:
        from torch.nn.attention.flex_attention import create_block_mask

        rows, length = prompt_valid.shape[0], prompt_valid.shape[1] + resolution.ids.shape[1]
        mask_mod = flex_mask_mod(resolution, prompt_valid)
        return create_block_mask(mask_mod, rows, None, length, length, device=str(prompt_valid.device))
    visible = tree_attention_mask(resolution, prompt_valid)[:, None]
    if attention is Attention.SDPA:
        return visible
    return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
