"""Attend to rows that are packed one after the other into one sequence, each by its own mask.

A variant of each implementation that can take a mask is registered with transformers. A model that is
switched to it attends to packed rows by groups of rows, and to everything else as before.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.flex_attention import flex_attention_forward
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import eager_mask, flex_attention_mask, sdpa_mask

from halluc_plugin.errors import SettingsError
from halluc_plugin.hard.models import PACKED, Attention, attention_of

STRIP = 128
"""Number of queries that are attended to together: keys after them are left out, so that no mask must hide
these."""

Result = tuple[torch.Tensor, torch.Tensor | None]


@dataclass
class RowGroup:
    """Rows of about the same length, which are attended to together.

    Attributes:
        start: Position in the sequence at which the group begins.
        rows: Number of rows, G.
        width: Number of tokens of each row, W, with its padding on the right.
        visible: Which query sees which key, Bool[G, 1, W, W]; None for causal rows.
    """

    start: int
    rows: int
    width: int
    visible: torch.Tensor | None
    _additive: dict[torch.dtype, torch.Tensor] = field(default_factory=dict, repr=False)

    @property
    def columns(self) -> slice:
        """The part of the sequence that the group occupies."""
        return slice(self.start, self.start + self.rows * self.width)

    def additive(self, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        """Return the mask to add to scores, Float[G, 1, W, W], or Float[W, W] if causal.

        It is made once and shared by all layers.
        """
        if dtype not in self._additive:
            visible = self.visible
            if visible is None:
                visible = torch.ones(self.width, self.width, dtype=torch.bool, device=device).tril()
            mask = torch.zeros(visible.shape, dtype=dtype, device=device)
            self._additive[dtype] = mask.masked_fill_(~visible, torch.finfo(dtype).min)
        return self._additive[dtype]


class PackedMask(torch.Tensor):
    """The mask of a packed model: the shape of Bool[1, 1, N, N] without its numbers, and the groups of rows.

    transformers passes a mask of four dimensions to every layer unchanged. An operation that reads more than
    its shape belongs to attention that cannot use the groups, and is refused.
    """

    groups: Sequence[RowGroup]

    @staticmethod
    def of(groups: Sequence[RowGroup], length: int, device: torch.device) -> "PackedMask":
        """Return the mask of groups that fill a sequence of ``length`` tokens."""
        nothing = torch.zeros((), dtype=torch.bool, device=device).expand(1, 1, length, length)
        mask = nothing.as_subclass(PackedMask)
        mask.groups = groups
        return mask

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Allow operations that read shape and dtype only, and refuse all others."""
        name = getattr(func, "__name__", "")
        if name not in _LOOKS:
            raise SettingsError(
                f"The model reads its mask itself ({name}), and cannot follow rows that are packed.",
                "Load it with another attn_implementation (eager, sdpa), or use halluc.context=soft.",
            )
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - torch has no public name for it
            return func(*args, **(kwargs or {}))


_LOOKS = frozenset(
    {"__get__", "dim", "size", "is_floating_point", "is_complex", "numel", "__repr__", "__len__"}
)


def packed_attention(  # noqa: PLR0917 - transformers calls it
    otherwise: Callable[..., Result],
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    **options: Any,
) -> Result:
    """Attend as an attention function of transformers, to packed rows group by group.

    Args:
        otherwise: The attention function of the model for rows that are not packed.
        module: The attention module of a layer.
        query: The queries, Float[1, H, N, D].
        key: The keys, Float[1, K, N, D], of as many heads or fewer.
        value: The values, Float[1, K, N, D].
        attention_mask: A :class:`PackedMask`, a ``BlockMask``, or what ``otherwise`` takes.
        options: Options that transformers passes: ``scaling``, ``dropout``, ``softcap``.

    Returns:
        The attended values, Float[1, N, H, D], and None in place of attention weights.
    """
    if isinstance(attention_mask, BlockMask):
        kind = query.device.type
        if torch.is_autocast_enabled(kind):
            # As fused attention does under autocast, and flex attention in recent releases of torch alone: a
            # model that normalises queries and keys has them in single precision, and values in half.
            query, key, value = (each.to(torch.get_autocast_dtype(kind)) for each in (query, key, value))
        attended: Result = flex_attention_forward(module, query, key, value, attention_mask, **options)
        return attended
    if not isinstance(attention_mask, PackedMask):
        return otherwise(module, query, key, value, attention_mask, **options)
    if options.get("s_aux") is not None or options.get("position_bias") is not None:
        raise SettingsError(
            f"The attention of {type(module).__name__} has sinks or biases of its own.",
            "Use another model, or halluc.context=soft.",
        )
    heads = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, heads), repeat_kv(value, heads)
    eager = attention_of(module.config) is Attention.EAGER
    attend = _products if eager or options.get("softcap") is not None else _fused
    parts = [
        attend(_rows(query, group), _rows(key, group), _rows(value, group), group, options)
        .transpose(1, 2)
        .flatten(0, 1)
        for group in attention_mask.groups
    ]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole[None], None


def _rows(values: torch.Tensor, group: RowGroup) -> torch.Tensor:
    """Float[G, H, W, D], the rows of a group of Float[1, H, N, D]; a view."""
    return values[0, :, group.columns].unflatten(1, (group.rows, group.width)).transpose(0, 1)


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, group: RowGroup, options: dict[str, Any]
) -> torch.Tensor:
    """Attend by torch's fused attention; returns Float[G, H, W, D]."""
    attend = partial(
        torch.nn.functional.scaled_dot_product_attention,
        dropout_p=options.get("dropout") or 0.0,
        scale=options.get("scaling"),
    )
    if group.visible is None:
        return attend(query, key, value, is_causal=True)
    mask = group.additive(query.dtype, query.device)
    strips = [
        attend(
            query[:, :, at : at + STRIP], key[:, :, : at + STRIP], value[:, :, : at + STRIP], attn_mask=part
        )
        for at in range(0, group.width, STRIP)
        for part in [mask[:, :, at : at + STRIP, : at + STRIP]]
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, 2)


def _products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, group: RowGroup, options: dict[str, Any]
) -> torch.Tensor:
    """Attend by plain products, as transformers' eager attention; returns Float[G, H, W, D]."""
    scaling, softcap = options.get("scaling"), options.get("softcap")
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores + group.additive(scores.dtype, scores.device)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    dropout = options.get("dropout") or 0.0
    if dropout:
        weights = torch.nn.functional.dropout(weights, dropout)
    return weights @ value


def _eager(module: torch.nn.Module, *args: Any, **options: Any) -> Result:
    """The eager attention of the module's own file, which transformers looks up nowhere else."""
    attended: Result = _file_of(module).eager_attention_forward(module, *args, **options)
    return attended


_OTHERWISE: dict[Attention, tuple[Callable[..., Result], Callable[..., Any]]] = {
    Attention.SDPA: (sdpa_attention_forward, sdpa_mask),
    Attention.EAGER: (_eager, eager_mask),
    Attention.FLEX: (flex_attention_forward, flex_attention_mask),
}
for _name, (_attend, _mask) in _OTHERWISE.items():
    AttentionInterface.register(PACKED + _name, partial(packed_attention, _attend))
    AttentionMaskInterface.register(PACKED + _name, _mask)


def take_packed_rows(model: Any) -> bool:
    """Let a model also attend to packed rows.

    The change is permanent: a backward pass that runs layers again must find them as the forward pass left
    them.

    Args:
        model: A transformers model.

    Returns:
        Whether the model can: its layers look their attention function up in transformers, and it takes any
        mask.
    """
    attention = attention_of(model.config)
    asks = getattr(model, "_supports_attention_backend", False)
    if attention is None or not asks or not hasattr(_file_of(model), "eager_attention_forward"):
        return False
    model.config._attn_implementation = PACKED + attention  # noqa: SLF001 - the setter of the model would check and copy
    return True


def _file_of(module: torch.nn.Module) -> Any:
    return sys.modules[type(module).__module__]
