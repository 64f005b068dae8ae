"""Whatever happens to our scheduler, each action sees the keys of the text that is left, and of nothing else.

The scheduler is the real one; the worker is a model of vLLM's (modelled_worker.py), and events happen as
hypothesis has it (modelled_events.py). This takes no engine and no model.
"""

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from halluc_plugin.edits import Context, EditState
from halluc_plugin.vllm_engine.equivalence import random_model
from halluc_plugin.vllm_engine.request import EditRequest

pytest.importorskip("vllm")
from vllm.engine.arg_utils import EngineArgs
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import init_none_hash
from vllm.v1.kv_cache_interface import (
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
)
from vllm.v1.structured_output import StructuredOutputManager

from halluc_plugin.vllm_engine import rewind as rewind_module
from halluc_plugin.vllm_engine import scheduler as scheduler_module
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.scheduler import RewindScheduler
from tests.vllm_engine.modelled_events import BLOCKS, SEATS, TOKENS, Events, params_of
from tests.vllm_engine.modelled_worker import BLOCK, POSITIONS, VOCAB


@pytest.fixture(scope="module")
def make_scheduler(tmp_path_factory):
    """Makes schedulers of a class, without an engine around them."""
    path = tmp_path_factory.mktemp("model")
    random_model(path)
    arguments = ENGINE_ARGS | {"max_model_len": POSITIONS, "max_num_seqs": SEATS, "dtype": "float32"}
    config = EngineArgs(
        model=str(path), skip_tokenizer_init=True, max_num_batched_tokens=POSITIONS, **arguments
    ).create_engine_config()
    config.scheduler_config.max_num_batched_tokens = TOKENS
    config.cache_config.block_size, config.cache_config.num_gpu_blocks = BLOCK, BLOCKS
    config.cache_config.enable_prefix_caching = True
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
    init_none_hash(sha256)
    grammars = StructuredOutputManager(config)

    def make(kind):
        kv_cache = KVCacheConfig(BLOCKS, [], [KVCacheGroupSpec(["layer"], spec)])
        return kind(config, kv_cache, grammars, block_size=BLOCK)

    return make


@pytest.fixture
def attempt(make_scheduler, monkeypatch):
    """Tries a class of schedulers; what happened."""

    def attempt(kind, examples, phases=tuple(Phase)):
        counts = dict.fromkeys(("answers", "parts", "rewinds", "shared", "preemptions"), 0)
        rewind, preempt = rewind_module.rewind, kind._preempt_request

        def rewinding(*args):
            result = rewind(*args)
            counts["rewinds"] += 1
            counts["shared"] += result is rewind_module.Blocks.SHARED
            return result

        def preempting(*args, **kwargs):
            counts["preemptions"] += 1
            return preempt(*args, **kwargs)

        monkeypatch.setattr(scheduler_module, "rewind", rewinding)
        monkeypatch.setattr(kind, "_preempt_request", preempting)
        made = {"make": staticmethod(lambda: make_scheduler(kind)), "counts": counts}
        machine = type("Events", (Events,), made)
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples, stateful_step_count=30, derandomize=True, database=None, deadline=None,
                phases=phases, suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip
        return counts

    return attempt


class WithoutCareForTheCache(RewindScheduler):
    """Takes the tokens back, and leaves their blocks in the prefix cache."""

    def _rewind(self, request, depth):
        self.kv_cache_manager.enable_caching = False
        super()._rewind(request, depth)
        self.kv_cache_manager.enable_caching = True


class WithoutCareForHashes(RewindScheduler):
    """Takes the tokens back, and leaves the hashes of their blocks with the request."""

    def _rewind(self, request, depth):
        hashes = list(request.block_hashes)
        super()._rewind(request, depth)
        request.block_hashes[:] = hashes


class WithoutCareForParts(RewindScheduler):
    """Does with a prompt that comes in parts what vLLM does."""

    def _update_request_as_session(self, session, update):
        super(RewindScheduler, self)._update_request_as_session(session, update)


def test_each_action_sees_what_is_left(attempt):
    """Whatever is preempted, shared, given up or computed in chunks: actions are those of the live text."""
    counts = attempt(RewindScheduler, 40)
    assert counts["answers"] > 200
    assert min(counts["rewinds"], counts["preemptions"], counts["parts"]) > 0, counts


@pytest.mark.parametrize("kind", [WithoutCareForTheCache, WithoutCareForHashes])
def test_planted_faults_are_found(attempt, kind):
    """A block that is known by a text that it does not hold is noticed, so the test above can fail."""
    with pytest.raises(AssertionError):
        attempt(kind, 40, [Phase.generate])


def ended(make_scheduler, parts, kind=RewindScheduler):
    """Why a request ends whose prompt comes in these parts, and one beside it; what the first was given."""
    machine = type("Course", (Events,), {"make": staticmethod(lambda: make_scheduler(kind))})()
    answers, reasons = {"request": [], "beside": []}, {}
    beside = params_of(EditRequest(VOCAB, context=Context.HARD), 30, 0, [])
    machine.send("beside", [1], beside)
    for number, (words, params) in enumerate(parts):
        machine.send("request", words, params, resumable=len(parts) > 1)
        reasons.pop("request", None)
        while "request" not in reasons or (number == len(parts) - 1 and "beside" not in reasons):
            plan = machine.scheduler.schedule()
            assert plan.num_scheduled_tokens, "nothing is left to do"
            outputs = machine.scheduler.update_from_output(plan, machine.worker.run(plan))
            machine.blocks_are_known_by_what_they_hold()
            for output in [output for each in outputs.values() for output in each.outputs]:
                answers[output.request_id] += output.new_token_ids
                if output.finish_reason is not None:
                    reasons[output.request_id] = str(output.finish_reason)
    return reasons, answers["request"]


def test_a_prompt_in_parts_cannot_turn_to_hard_context(make_scheduler):
    """A later part that asks for it ends with an error; who is beside it goes on."""
    turned = params_of(EditRequest(VOCAB, budget=3, context=Context.HARD), 8, 0, [])
    parts = [([1, 2, 3], params_of(None, 4, 0, [])), ([4, 5], turned)]
    reasons, ids = ended(make_scheduler, parts)
    assert reasons == {"request": "error", "beside": "length"}
    assert len(ids) == 4


def test_a_prompt_in_parts_leaves_no_stale_hash(make_scheduler):
    """Of an answer that fills a block vLLM drops the last token, and we drop the hash of that block."""
    plain = params_of(None, 2 * BLOCK - 3, 0, [])
    parts = [([1, 2, 3], plain), ([39, 5, 6], plain)]
    assert ended(make_scheduler, parts)[0]["request"] == "length"
    with pytest.raises(AssertionError, match="a hash is stale"):
        ended(make_scheduler, parts, WithoutCareForParts)


def test_a_full_model_ends_a_request_below_its_minimum(make_scheduler):
    """Where no position is left, there is no waiting for min_tokens."""
    params = params_of(EditRequest(VOCAB, context=Context.HARD), 90, 20, [])
    prompt = [1] * (POSITIONS - 5)
    reasons, ids = ended(make_scheduler, [(prompt, params)])
    live = EditState(VOCAB).extend(ids).depth
    assert reasons["request"] == "length"
    assert live == 5
    assert len(ids) < 90
