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
from vllm.v1.request import Request, RequestStatus


class Blocks(Enum):
    """Whether the request may go on with the blocks that it has."""

    OWN = auto()
    """It may: nobody else reads what it will write over."""
    SHARED = auto()
    """It must give them back and continue on new ones: another request reads one of them."""


def rewind(request: Request, num_output_tokens: int, manager: KVCacheManager) -> Blocks:
    """Forget all output tokens but the first, and make their blocks safe to be written over.

    Args:
        request: A running request, or one that was preempted while its action was being computed.
        num_output_tokens: How many to keep.
        manager: The scheduler's.

    Returns:
        Whether the blocks are safe; if not, they are as they were.
    """
    num_tokens = request.num_prompt_tokens + num_output_tokens
    del request._output_token_ids[num_output_tokens:]  # noqa: SLF001 - the request has no method for it
    del request._all_token_ids[num_tokens:]  # noqa: SLF001 - same
    del request.block_hashes[num_tokens // manager.block_pool.hash_block_size :]
    if request.status is not RequestStatus.RUNNING:
        return Blocks.OWN  # it has none
    request.num_computed_tokens = num_tokens - 1
    return _reclaim(request, manager) if manager.enable_caching else Blocks.OWN


def _reclaim(request: Request, manager: KVCacheManager) -> Blocks:
    """Take the blocks behind the kept tokens out of the prefix cache, unless someone reads them."""
    (group,) = manager.coordinator.single_type_managers
    first = request.num_tokens // group.block_size
    written_over = group.req_to_blocks[request.request_id][first:]
    if any(block.ref_cnt > 1 for block in written_over):
        return Blocks.SHARED
    manager.evict_blocks({block.block_id for block in written_over if block.block_hash is not None})
    if group.num_cached_block.get(request.request_id, 0) > first:
        group.num_cached_block[request.request_id] = first
    return Blocks.OWN
