"""Count the bytes that tensors hold while a model's layers run, on torch's ``meta`` device."""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, AttentionMaskInterface

from halluc_plugin.errors import SettingsError


class Attending(StrEnum):
    """How attention is computed, by which it keeps more or less.

    - ``fused``: In one kernel (flash or flex attention), which keeps its inputs, its output and a number for
      each query.
    - ``rows``: As :mod:`halluc_plugin.hard.packed_attention` does on a CPU: keys and values are repeated for
      each head, and the rows' outputs are put together in a copy.
    """

    FUSED = "fused"
    ROWS = "rows"


@dataclass(frozen=True)
class LayerBytes:
    """What the layers of a model hold in a pass over N tokens, in bytes; weights do not count.

    Attributes:
        kept: What is kept from the forward pass for the backward pass, of all layers, the embedding and the
            last norm.
        of_a_layer: The same, of the layer that keeps most.
        working: What the backward pass holds beyond that at its largest.
        forward: The most that a forward pass holds which keeps nothing.
    """

    kept: int
    of_a_layer: int
    working: int
    forward: int


class LiveBytes(TorchDispatchMode):
    """A mode that adds up the storages that operations have made and that still exist.

    Args:
        known: Tensors that do not count.
    """

    def __init__(self, known: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen = {_key(tensor): 0 for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and _key(tensor) not in self._seen:
                storage = tensor.untyped_storage()
                self._seen[_key(tensor)] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, _key(tensor))
        return made

    def _forget(self, key: int) -> None:
        self.now -= self._seen.pop(key)


def _key(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - a meta tensor has no other address


def count_layers(causal: Any, tokens: int, attending: Attending = Attending.FUSED) -> LayerBytes:
    """Run a model's body forward and backward over packed tokens, and count.

    Args:
        causal: A transformers causal language model on the ``meta`` device, in the type it computes in. It is
            changed: its attention keeps shapes only from then on, and its weights have gradients.
        tokens: The number of tokens, N.
        attending: How its attention is computed.

    Raises:
        SettingsError: The model's forward pass looks at numbers (mixtures of experts do), so that shapes
            alone do not tell what it holds.
    """
    body = getattr(causal, causal.base_model_prefix)
    causal.config._attn_implementation = f"halluc_counted_{attending}"  # noqa: SLF001 - transformers has no public name for it
    body.train()
    for weight in body.parameters():
        weight.grad = torch.zeros_like(weight)  # as in all micro-batches but a step's first
    try:
        return _count(body, tokens)
    except (NotImplementedError, RuntimeError) as error:
        raise SettingsError(
            f"What {type(causal).__name__} holds depends on numbers, not on shapes alone "
            f"({str(error).splitlines()[0]}).",
            "Plan with a dense text model of about the same size.",
        ) from error


@dataclass
class _Marks:
    """The bytes held behind each layer."""

    live: LiveBytes
    behind: list[int] = field(default_factory=list)

    def __call__(self, *_: Any) -> None:
        self.behind.append(self.live.now)


def _count(body: Any, tokens: int) -> LayerBytes:
    held = [*body.parameters(), *body.buffers()]
    live = LiveBytes([*held, *(weight.grad for weight in body.parameters())])
    marks = _Marks(live)
    hooks = [layer.register_forward_hook(marks) for layer in layers_of(body)]
    with live:
        ids = torch.zeros(1, tokens, dtype=torch.long, device="meta")
        # As PackedMask, it has a shape without numbers; without one, positions would be looked at.
        mask = torch.zeros((), dtype=torch.bool, device="meta").expand(1, 1, tokens, tokens)
        given = {"input_ids": ids, "position_ids": ids, "attention_mask": mask, "use_cache": False}
        with torch.no_grad():
            body(**given)
        forward, live.peak = live.peak, live.now
        del marks.behind[:]
        out = body(**given).last_hidden_state
        for hook in hooks:
            hook.remove()
        kept = live.peak = live.now
        torch.autograd.backward(out, torch.empty_like(out))
    each = [after - before for before, after in zip(marks.behind, marks.behind[1:], strict=False)]
    return LayerBytes(kept, max(each, default=kept), live.peak - kept, forward)


def layers_of(body: Any) -> Any:
    """Return the list of a body's layers.

    Raises:
        SettingsError: The body has no list of as many modules as its config says it has layers.
    """
    number = body.config.get_text_config().num_hidden_layers
    lists = (part for part in body.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == number)
    found = next(lists, None)
    if found is None:
        raise SettingsError(
            f"{type(body).__name__} has no list of {number} layers.", "Plan with a dense text model."
        )
    return found


class _Counted(torch.autograd.Function):
    """Attention's shapes: what is kept are inputs, output and a number for each query and head."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(query)
        sums = torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device)
        ctx.save_for_backward(query, key, value, out, sums)
        return out

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[torch.Tensor, ...]:
        query, key, value, _out, _sums = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _attend(
    attending: Attending,
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: Any,
    **_options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend as an attention function of transformers: Float[1, H, N, D] to Float[1, N, H, D]."""
    if attending is Attending.ROWS:
        heads = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(heads, 1) if heads > 1 else x for x in (key, value))
    return _Counted.apply(query, key, value).transpose(1, 2).contiguous(), None


for _name in Attending:
    AttentionInterface.register(f"halluc_counted_{_name}", partial(_attend, _name))
    AttentionMaskInterface.register(f"halluc_counted_{_name}", lambda *_args, **_kwargs: None)
