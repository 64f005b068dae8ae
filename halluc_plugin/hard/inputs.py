"""A batch of raw traces laid out for one forward in hard context."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from halluc_plugin.edits import Resolution, flex_mask_mod, logit_index, position_ids, tree_attention_mask
from halluc_plugin.errors import SettingsError, TraceError

FULL_ATTENTION = "full_attention"


class Attention(StrEnum):
    """Implementations of attention (transformers' names) that take any mask."""

    SDPA = "sdpa"
    EAGER = "eager"
    FLEX = "flex_attention"


@dataclass(frozen=True)
class TreeInputs:
    """What the model is called with; sequence coordinates run over P + T, the prompts first.

    Attributes:
        input_ids: Long[B, P + T].
        attention_mask: The tree, as the implementation wants it: Bool[B, 1, P + T, P + T] for ``sdpa``, the
            same as additive floats for ``eager``, a ``BlockMask`` for ``flex_attention``. Never None: with
            rewound positions transformers would take that for packed sequences.
        position_ids: Long[B, P + T], rewound.
        logit_index: Long[B, T], position whose logits each action was sampled from.
    """

    input_ids: torch.Tensor
    attention_mask: Any
    position_ids: torch.Tensor
    logit_index: torch.Tensor

    def model_inputs(self) -> dict[str, Any]:
        """The arguments for the model."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
        }


def require_tree_attention(config: Any) -> Attention:
    """Refuse a model whose attention cannot follow a tree.

    Args:
        config: The model's transformers config, with the implementation it was loaded with.

    Returns:
        The implementation.

    Raises:
        SettingsError: A layer has no full attention, positions have several dimensions, or the
            implementation takes causal masks only.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or [FULL_ATTENTION])
    if kinds != {FULL_ATTENTION}:
        raise SettingsError(
            f"Layers of kind {', '.join(sorted(kinds - {FULL_ATTENTION}))} cannot follow hard context.",
            "Use a model with full attention in every layer, or context=soft.",
        )
    if "mrope_section" in (getattr(text, "rope_parameters", None) or {}):
        raise SettingsError(
            "A model with several dimensions of positions (mrope) cannot follow hard context.",
            "Use a text model, or context=soft.",
        )
    name = config._attn_implementation  # noqa: SLF001 - transformers has no public name for it
    if name not in list(Attention):
        raise SettingsError(
            f"The model runs {name}, which takes no tree mask.",
            f"Load it with attn_implementation={Attention.SDPA} ({', '.join(Attention)} can).",
        )
    return Attention(name)


def tree_inputs(
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    attention: Attention,
    dtype: torch.dtype = torch.float32,
) -> TreeInputs:
    """Lay out prompts and raw traces.

    Args:
        prompt_ids: Long[B, P], padded on either side.
        prompt_valid: Bool[B, P].
        resolution: Of the B responses of width T.
        attention: Which implementation the mask is for.
        dtype: Of an additive mask (``eager``): that of the model's activations.

    Raises:
        TraceError: Shapes do not fit, or a prompt is empty.
    """
    if prompt_ids.shape != prompt_valid.shape:
        raise TraceError(
            f"prompt_ids have shape {tuple(prompt_ids.shape)}, prompt_valid {tuple(prompt_valid.shape)}.",
            "Pass both as [batch, prompt length].",
        )
    return TreeInputs(
        torch.cat([prompt_ids, resolution.ids], 1),
        _mask(resolution, prompt_valid, attention, dtype),
        position_ids(resolution, prompt_valid),
        logit_index(resolution, prompt_valid),
    )


def _mask(
    resolution: Resolution, prompt_valid: torch.Tensor, attention: Attention, dtype: torch.dtype
) -> Any:
    if attention is Attention.FLEX:
        from torch.nn.attention.flex_attention import create_block_mask

        rows, length = prompt_valid.shape[0], prompt_valid.shape[1] + resolution.ids.shape[1]
        mask_mod = flex_mask_mod(resolution, prompt_valid)
        return create_block_mask(mask_mod, rows, None, length, length, device=str(prompt_valid.device))
    visible = tree_attention_mask(resolution, prompt_valid)[:, None]
    if attention is Attention.SDPA:
        return visible
    return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)
