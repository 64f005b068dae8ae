"""An engine that is too small for what it is asked, what happens in it, and ones with a fault planted."""

from collections import Counter

from cpu_engine import Engine, PoisonedScheduler

from halluc_plugin.vllm_engine import scheduler as scheduler_module
from halluc_plugin.vllm_engine.rewind import Blocks
from halluc_plugin.vllm_engine.scheduler import RewindScheduler

BLOCKS, SEATS, TOKENS, POSITIONS = 26, 6, 48, 128
"""Blocks of its cache (one of them vLLM keeps), requests and tokens of a step, positions of the model."""
COUNTS = Counter()
"""How often each thing happened in this process."""


def make_engine(path, scheduler=None):
    """Start it; things that happen in it are counted."""
    overrides = {"scheduler_cls": scheduler} if scheduler else {}
    engine = Engine(
        path, num_gpu_blocks_override=BLOCKS, max_num_seqs=SEATS, max_num_batched_tokens=TOKENS,
        max_model_len=POSITIONS, **overrides,
    )  # fmt: skip
    schedule, preempt = engine.scheduler.schedule, engine.scheduler._preempt_request

    def scheduling(*args, **kwargs):
        plan = schedule(*args, **kwargs)
        requests = engine.scheduler.requests
        COUNTS["chunks"] += sum(requests[name].is_prefill_chunk for name in plan.num_scheduled_tokens)
        COUNTS["prefix hits"] += sum(new.num_computed_tokens > 0 for new in plan.scheduled_new_reqs)
        COUNTS["resumed"] += len(plan.scheduled_cached_reqs.resumed_req_ids)
        return plan

    def preempting(*args, **kwargs):
        COUNTS["preemptions"] += 1
        return preempt(*args, **kwargs)

    engine.scheduler.schedule, engine.scheduler._preempt_request = scheduling, preempting
    return engine


def count_rewinds():
    """Count rewinds, and those that leave their blocks to others."""
    rewind = scheduler_module.rewind

    def rewinding(*args):
        result = rewind(*args)
        COUNTS["rewinds"] += 1
        COUNTS["shared blocks left alone"] += result is Blocks.SHARED
        return result

    scheduler_module.rewind = rewinding


class ForgetfulScheduler(RewindScheduler):
    """Takes the ids back and leaves the hashes of their blocks, as vLLM's issue 49377 has it."""

    def _rewind(self, request, depth):
        hashes = list(request.block_hashes)
        super()._rewind(request, depth)
        request.block_hashes[:] = hashes


class GreedyScheduler(RewindScheduler):
    """Writes over blocks that other requests read."""

    def _rewind(self, request, depth):
        (group,) = self.kv_cache_manager.coordinator.single_type_managers
        counts = [(block, block.ref_cnt) for block in group.req_to_blocks[request.request_id]]
        for block, _ in counts:
            block.ref_cnt = 1
        super()._rewind(request, depth)
        for block, count in counts:
            block.ref_cnt = count


class LeakyScheduler(RewindScheduler):
    """Keeps what it knew of requests that were given up."""

    def finish_requests(self, request_ids, *args):
        """As vLLM calls it."""
        kept = dict(self._traces)
        done = super().finish_requests(request_ids, *args)
        self._traces |= kept
        return done


FAULTS = {
    "poisoned": PoisonedScheduler, "forgetful": ForgetfulScheduler, "greedy": GreedyScheduler,
    "leaky": LeakyScheduler,
}  # fmt: skip
