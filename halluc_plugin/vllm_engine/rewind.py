"""Taking back the last tokens of a running request: its ids, its KV blocks, its prefix-cache entries.

Before: N tokens, all computed. After: n < N tokens (n = N when an edit had nothing to erase), of which n - 1
count as computed, so that the next step feeds the last kept token at its old position. That rewrites its
keys and values as they were, and its logits see the collapsed context: one forward slot, as for any action.
The blocks behind it stay with the request and are written over as it grows again.

That is where prefix caching needs care. vLLM publishes a block under the hash of its tokens when it becomes
full; written over, it would go on serving the erased tokens' hash with other contents. So such a block is
taken out of the cache; and when another request has already taken it up, it must not be written at all.
"""

from enum import Enum, auto

from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.request import Request


class Blocks(Enum):
    """Whether the request may go on with the blocks that it has."""

    OWN = auto()
    """It may: nobody else reads what it will write over."""
    SHARED = auto()
    """It must give them back and continue on new ones: another request reads one of them."""


def rewind_tokens(request: Request, num_output_tokens: int, hash_block_size: int) -> None:
    """Forget all output tokens but the first ``num_output_tokens``, and the hashes of blocks not full now."""
    num_tokens = request.num_prompt_tokens + num_output_tokens
    del request._output_token_ids[num_output_tokens:]  # noqa: SLF001 - the request has no method for it
    del request._all_token_ids[num_tokens:]  # noqa: SLF001 - same
    del request.block_hashes[num_tokens // hash_block_size :]


def rewind_blocks(request: Request, manager: KVCacheManager) -> Blocks:
    """Make the blocks from the end of the kept tokens on safe to be written over.

    Args:
        request: After :func:`rewind_tokens`; it holds blocks.
        manager: The scheduler's.

    Returns:
        Whether they are. Otherwise nothing was changed.
    """
    if not manager.enable_caching:
        return Blocks.OWN
    (group,) = manager.coordinator.single_type_managers
    first = request.num_tokens // group.block_size
    written_over = group.req_to_blocks[request.request_id][first:]
    if any(block.ref_cnt > 1 for block in written_over):
        return Blocks.SHARED
    manager.evict_blocks({block.block_id for block in written_over if block.block_hash is not None})
    cached = group.num_cached_block.get(request.request_id, 0)
    if cached > first:
        group.num_cached_block[request.request_id] = first
    return Blocks.OWN
