"""Take back the last tokens of a running request: its ids, its KV blocks, its prefix-cache entries.

Before, the request has N tokens, all computed. Afterwards it has n < N tokens (n = N if an edit had nothing
to erase), of which n - 1 count as computed, so that the next step feeds the last kept token at its old
position. That rewrites its keys and values with the same numbers, and its logits see the collapsed context,
which takes one forward slot, as any action does. The blocks after it stay with the request and are
overwritten as it grows again.

Prefix caching needs care there. vLLM publishes a block under the hash of its tokens when it becomes full;
after it is overwritten, the erased tokens' hash would lead to other contents. So such a block is taken out of
the cache, and if another request already uses it, it must not be written at all.
"""

from enum import Enum, auto

from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.request import Request, RequestStatus


class Blocks(Enum):
    """Whether the request may continue with its blocks."""

    OWN = auto()
    """The request may continue: no other request reads the blocks that it will overwrite."""
    SHARED = auto()
    """The request must give its blocks back and continue on new ones: another request reads one of them."""


def rewind(request: Request, num_output_tokens: int, manager: KVCacheManager) -> Blocks:
    """Drop all output tokens but the first ones, and make their blocks safe to be overwritten.

    Args:
        request: A running request, or one that was preempted while its action was being computed.
        num_output_tokens: Number of output tokens to keep.
        manager: The KV cache manager of the scheduler.

    Returns:
        Whether the blocks are safe; if they are not, they are unchanged.
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
