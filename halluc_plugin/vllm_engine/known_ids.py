"""The logits processor that restricts vLLM to the ids for which its tokenizer has tokens.

Models often have more rows than their tokenizer has tokens, and vLLM samples from all of them.
"""

import torch
from vllm.config import VllmConfig
from vllm.tokenizers import cached_tokenizer_from_config
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor

from halluc_plugin.tokens.vocabulary import edit_free_vocab


class KnownIds(LogitsProcessor):
    """Bans ids that are not tokens, for all requests; processed log-probs of the others sum to 1."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:  # noqa: ARG002 (vLLM's signature)
        model = vllm_config.model_config
        known = edit_free_vocab(cached_tokenizer_from_config(model))
        unknown = known.unknown_ids(model.get_vocab_size())
        self._unknown = torch.tensor(unknown, dtype=torch.long, device=device)

    def is_argmax_invariant(self) -> bool:
        """Return False, since a banned row may be the likeliest one."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Do nothing, since the bans do not depend on the requests."""

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Set the logits of ids that are not tokens to -inf, in place.

        Args:
            logits: The logits of each request, Float[requests, vocabulary].

        Returns:
            The same tensor.
        """
        return logits.index_fill_(-1, self._unknown, -torch.inf) if len(self._unknown) else logits
