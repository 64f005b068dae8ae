"""A batch of raw traces laid out for one forward in hard context."""

from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.edits import Resolution, flex_mask_mod, logit_index, position_ids, tree_attention_mask
from halluc_plugin.errors import TraceError
from halluc_plugin.hard.models import Attention


@dataclass(frozen=True)
class TreeInputs:
    """What the model is called with; sequence coordinates run over P + T, the prompts first.

    Attributes:
        input_ids: Long[B, P + T], prompts padded on the left.
        attention_mask: The tree, as the implementation wants it: Bool[B, 1, P + T, P + T] for ``sdpa``, the
            same as additive floats for ``eager``, a ``BlockMask`` for ``flex_attention``. Never None: with
            rewound positions transformers would take that for packed sequences.
        position_ids: Long[B, P + T], rewound.
        logit_index: Long[B, T], position whose logits each action was sampled from.
        valid: Bool[B, T], which responses' positions hold an action.
    """

    input_ids: torch.Tensor
    attention_mask: Any
    position_ids: torch.Tensor
    logit_index: torch.Tensor
    valid: torch.Tensor

    @property
    def logits_to_keep(self) -> int:
        """How many trailing positions the actions were sampled from; transformers' argument of that name."""
        return self.valid.shape[1] + 1

    def model_inputs(self) -> dict[str, Any]:
        """The arguments for the model."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "position_ids": self.position_ids,
        }

    def at_actions(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits that each of the N valid actions was sampled from.

        Args:
            logits: Float[B, S, V], the model's, of all positions or of trailing ones.

        Returns:
            Float[N, V], row by row.
        """
        rows, actions = self.valid.nonzero(as_tuple=True)
        width = logits.shape[1]
        columns = self.logit_index[rows, actions] - (self.input_ids.shape[1] - width)
        # On flat rows: the gradient of this is a plain sum over rows of V.
        return logits.flatten(0, 1).index_select(0, rows * width + columns)


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
    # Padding to the left edge: all logits that are read then lie in the last T + 1 positions.
    order = prompt_valid.long().argsort(dim=1, stable=True)
    prompt_ids, prompt_valid = prompt_ids.gather(1, order), prompt_valid.gather(1, order)
    return TreeInputs(
        torch.cat([prompt_ids, resolution.ids], 1),
        _mask(resolution, prompt_valid, attention, dtype),
        position_ids(resolution, prompt_valid),
        logit_index(resolution, prompt_valid),
        resolution.valid,
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
