"""A KV cache addressed by position, in which a row is rewound by writing to an earlier slot.

The token at position p of row b lives in slot p of that row. After an edit the last kept token is fed again
at its old position, which rewrites its slot with the same value; the next token overwrites the slot of the
erased one. This leaves no holes and needs neither copies nor recomputation, as the layout of vLLM's paged
attention.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from halluc_plugin.hard.models import IN_OUR_DECODER, require_full_attention


class _SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, ``[rows, heads, slots, head_dim]``."""

    is_sliding = False

    def __init__(self, cache: "SlotCache") -> None:
        super().__init__()
        self._cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, heads, _, head_dim = key_states.shape
        self.keys = key_states.new_zeros(rows, heads, self._cache.num_slots, head_dim)
        self.values = value_states.new_zeros(rows, heads, self._cache.num_slots, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows = torch.arange(key_states.shape[0], device=key_states.device)[:, None]
        positions = self._cache.positions.to(key_states.device)  # a model may be spread over several
        # Advanced indices around a slice put [rows, queries] first, hence the transposes.
        self.keys[rows, :, positions] = key_states.transpose(1, 2)
        self.values[rows, :, positions] = value_states.transpose(1, 2)
        return self.keys[:, :, : self._cache.visible], self.values[:, :, : self._cache.visible]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - the base class's signature
        return self._cache.visible, 0

    def get_seq_length(self) -> int:
        return self._cache.visible if self.is_initialized else 0

    def get_max_length(self) -> int:
        return self._cache.num_slots

    def get_max_cache_shape(self) -> int:  # the same, as transformers 5.10 calls it; 5.17 has the other name
        return self.get_max_length()

    def select(self, rows: torch.Tensor) -> None:
        """Keep these rows only."""
        rows = rows.to(self.keys.device)
        self.keys, self.values = self.keys[rows], self.values[rows]


class SlotCache(Cache):
    """A transformers cache whose slots are positions; the module docstring explains it.

    Args:
        config: The model's transformers config; every layer must have full attention.
        num_slots: Number of positions to hold: longest prompt plus largest number of actions.

    Attributes:
        positions: The position that the next forward pass writes for each query, Long[rows, queries], on any
            device.
        visible: Number of slots that the next forward pass sees; the attention mask has this width.

    Raises:
        SettingsError: The model cannot be rewound; see :func:`halluc_plugin.hard.require_full_attention`.
    """

    def __init__(self, config: Any, num_slots: int) -> None:
        require_full_attention(config, IN_OUR_DECODER)
        self.num_slots = num_slots
        self.visible = 0
        self.positions = torch.empty(0, 0, dtype=torch.long)
        super().__init__(layers=[_SlotLayer(self) for _ in range(config.num_hidden_layers)])

    def place(self, positions: torch.Tensor, visible: int) -> None:
        """Set where the next forward pass writes, and how many slots it sees.

        Args:
            positions: The position of each query, Long[rows, queries].
            visible: Number of slots that are seen.
        """
        self.positions, self.visible = positions, visible

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows.

        Args:
            rows: Indices of the rows to keep, Long[R].
        """
        for layer in self.layers:
            if layer.is_initialized:
                layer.select(rows)
