"""The logits processor that restricts vLLM to the ids for which its tokenizer has tokens.

Models often have more rows than their tokenizer has tokens, and vLLM samples from all of them.
"""

from typing import Any

import torch
from vllm.config import VllmConfig
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate

from halluc_plugin.tokens.vocabulary import edit_free_vocab
from halluc_plugin.vllm_engine.compat import EveryRunnersProcessor


class KnownIds(EveryRunnersProcessor):
    """Bans ids that are not tokens, for all requests; processed log-probs of the others sum to 1.

    Args:
        vllm_config: The configuration of the engine.
        where: The device of the logits, or with model runner V2 what has it as ``device``.
        is_pin_memory: Not used.
    """

    def __init__(self, vllm_config: VllmConfig, where: Any, is_pin_memory: bool = False) -> None:  # noqa: ARG002 (vLLM's signature)
        device = where if isinstance(where, torch.device) else where.device
        model = vllm_config.model_config
        known = edit_free_vocab(cached_tokenizer_from_config(model))
        unknown = known.unknown_ids(model.get_vocab_size())
        self._unknown = torch.tensor(unknown, dtype=torch.long, device=device)

    def is_argmax_invariant(self) -> bool:
        """Return False, since a banned row may be the likeliest one."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Do nothing, since the bans do not depend on the requests."""

    def apply(self, logits: torch.Tensor, _batch: Any = None) -> torch.Tensor:
        """Set the logits of ids that are not tokens to -inf, in place.

        Args:
            logits: The logits of each request, Float[requests, vocabulary].
            _batch: What model runner V2 says of the rows; the bans do not depend on it.

        Returns:
            The same tensor.
        """
        return logits.index_fill_(-1, self._unknown, -torch.inf) if len(self._unknown) else logits
