"""The logits processor of an engine that rewinds, for soft and hard requests."""

from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from halluc_plugin.vllm_engine.budget import EditBudget
from halluc_plugin.vllm_engine.compat import require_tested_vllm
from halluc_plugin.vllm_engine.erasing import Erasure, erase
from halluc_plugin.vllm_engine.requirements import check_config, check_scheduler


class RewindBans(EditBudget):
    """Bans what :class:`EditBudget` bans, in hard context too; there also EOS below ``min_tokens``.

    Where a request asks for it, a signal of the logits takes text back: the edit is left alone to sample.

    It is built before the weights are loaded, so this is where an engine is refused that cannot rewind.

    Raises:
        HostVersionError: vLLM is outside the tested window.
        SettingsError: The engine cannot rewind exactly.
    """

    rewinds = True

    def __init__(self, vllm_config: VllmConfig, where: Any, is_pin_memory: bool = False) -> None:
        require_tested_vllm()
        check_config(vllm_config)  # which refuses model runner V2
        check_scheduler(vllm_config)
        super().__init__(vllm_config, where, is_pin_memory)
        self._erasures: dict[int, Erasure] = {}

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow requests that enter, leave and move within the batch."""
        super().update_state(batch_update)
        process_dict_updates(self._erasures, batch_update, Erasure.of)

    def apply(self, logits: torch.Tensor, batch: Any = None) -> torch.Tensor:
        """Set the logits of banned tokens to -inf, in place, and of all but the edit where a signal erases.

        Args:
            logits: The logits of each request, Float[requests, vocabulary].
            batch: Not used; hard context runs on model runner V1.

        Returns:
            The same tensor.
        """
        erased = erase(logits, self._erasures) if self._erasures else {}
        logits = super().apply(logits, batch)
        for row, edit_id in erased.items():
            logits[row] = -torch.inf
            logits[row, edit_id] = 0.0
        return logits
