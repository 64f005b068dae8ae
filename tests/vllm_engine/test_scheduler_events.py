"""Whatever happens to our scheduler, each action sees the keys of the text that is left, and of nothing else.

The scheduler is the real one; the worker is a model of vLLM's, whose KV cache holds a number in each slot in
place of keys: a digest of the token there and of what the slot before it holds. The next action is a function
of the number behind the last token, so whatever is stale, foreign or missing anywhere before changes it. This
takes no engine and no model.
"""

import hashlib
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.vllm_engine.equivalence import random_model
from halluc_plugin.vllm_engine.request import EditRequest, Length

pytest.importorskip("vllm")
from vllm import SamplingParams
from vllm.engine.arg_utils import EngineArgs
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.kv_cache_interface import (
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
)
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

from halluc_plugin.vllm_engine import rewind as rewind_module
from halluc_plugin.vllm_engine import scheduler as scheduler_module
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.scheduler import RewindScheduler

BLOCK, BLOCKS, SEATS, TOKENS, POSITIONS = 4, 20, 5, 16, 40
VOCAB = EditVocab(40, step=41, step_delimiters=frozenset({3, 4}), restart=42)
STOP = 9
TEXTS = [[(5 * i * i + i + family) % 7 for i in range(POSITIONS)] for family in range(2)]


def digest(*values):
    """A number for these."""
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=6).digest())


def action(key, index):
    """The action number ``index`` behind a text whose last slot holds ``key``; one in four is an edit."""
    drawn = digest("action", key, index)
    return [40, 40, 41, 42, *range(STOP), STOP, *range(2)][drawn % 16]


def key_of(text):
    """What the last slot of a text holds."""
    key = None
    for token in text:
        key = digest(key, token)
    return key


class Worker:
    """What vLLM's model runner V1 makes of the scheduler's plans."""

    def __init__(self):
        self.slots, self.requests = {}, {}

    def run(self, plan):
        """Fill the slots of a step, and sample where a text is complete."""
        for name in plan.finished_req_ids:
            self.requests.pop(name, None)
        assert not getattr(plan, "kv_cache_block_copies", None)
        for new in plan.scheduled_new_reqs:
            self.requests[new.req_id] = SimpleNamespace(
                prompt=list(new.prompt_token_ids), output=[], blocks=list(new.block_ids[0]),
                computed=new.num_computed_tokens, sampled=0,
            )  # fmt: skip
        cached = plan.scheduled_cached_reqs
        for index, name in enumerate(cached.req_ids):
            state, blocks = self.requests[name], cached.new_block_ids[index]
            del state.output[cached.num_output_tokens[index] :]
            state.computed = cached.num_computed_tokens[index]
            if name in cached.resumed_req_ids:
                state.blocks = list(blocks[0])
            elif blocks is not None:
                state.blocks += blocks[0]
        names = list(plan.num_scheduled_tokens)
        sampled = [self.forward(self.requests[name], plan.num_scheduled_tokens[name]) for name in names]
        return ModelRunnerOutput(names, {name: i for i, name in enumerate(names)}, sampled, pooler_output=[])

    def forward(self, state, count):
        """Tokens of one request; what is sampled, nothing in the midst of a prompt."""
        tokens, end = state.prompt + state.output, state.computed + count
        assert end <= len(tokens), "a token is fed that is not known"
        for position in range(state.computed, end):
            before = self.slots.get(self.slot(state, position - 1)) if position else None
            self.slots[self.slot(state, position)] = digest(before, tokens[position])
        if end < len(tokens):
            return []
        state.output.append(action(self.slots[self.slot(state, end - 1)], state.sampled))
        state.sampled += 1
        return [state.output[-1]]

    def slot(self, state, position):
        """Where the keys of a position are."""
        return state.blocks[position // BLOCK], position % BLOCK


def expected(prompt, params, count):
    """The first actions of an answer, and why it ended, from the text that is left before each."""
    request = EditRequest.from_extra_args(params.extra_args)
    hard = request is not None and request.context is Context.HARD
    state, ids = EditState(VOCAB), []
    while len(ids) < count:
        live = state.live_ids if hard else ids
        token = action(key_of([*prompt, *live]), len(ids))
        ids.append(token)
        state.push(token)
        live = state.depth if hard else len(ids)
        text = not hard or token not in VOCAB.edit_ids
        reached = text and live >= params.min_tokens
        most = request.max_actions if hard and request.length is Length.COLLAPSED else params.max_tokens
        if reached and token in params.stop_token_ids:
            return ids, "stop"
        full = text and (hard or reached) and len(prompt) + live >= POSITIONS
        if full or (hard and len(ids) >= most) or (reached and live >= params.max_tokens):
            return ids, "length"
    return ids, None


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


hard = st.builds(EditRequest, st.just(VOCAB), context=st.just(Context.HARD))
collapsed = st.builds(
    EditRequest, st.just(VOCAB), context=st.just(Context.HARD), length=st.just(Length.COLLAPSED),
    max_actions=st.integers(1, 40),
)  # fmt: skip
soft = st.sampled_from([None, EditRequest(VOCAB)])
prompts = st.builds(lambda text, length: text[:length], st.sampled_from(TEXTS), st.integers(1, 30))


def params_of(request, most, few, stops):
    """Sampling parameters."""
    return SamplingParams(
        max_tokens=most, min_tokens=min(few, most), stop_token_ids=stops,
        extra_args=request.to_extra_args() if request else None,
    )  # fmt: skip


STOPS = st.sampled_from([[], [], [STOP]])
hard_params = st.builds(params_of, hard | collapsed, st.integers(1, 40), st.sampled_from([0, 0, 5]), STOPS)
soft_params = st.builds(params_of, soft, st.integers(1, 12), st.just(0), STOPS)


class Events(RuleBasedStateMachine):
    """Everything that can happen to a scheduler, in any order."""

    make = counts = None

    def __init__(self):
        super().__init__()
        self.scheduler, self.worker = self.make(), Worker()
        self.hasher = get_request_block_hasher(BLOCK, sha256)
        self.asked, self.answers, self.done, self.sessions, self.held = {}, {}, [], {}, []
        self.count = 0
        self.pool = self.scheduler.kv_cache_manager.block_pool
        (self.group,) = self.scheduler.kv_cache_manager.coordinator.single_type_managers
        assert self.scheduler.kv_cache_manager.enable_caching

    def send(self, name, prompt, params, *, resumable=False, salt=None):
        """Queue a request, or the next part of one."""
        self.scheduler.add_request(
            Request(
                name, list(prompt), params, None, block_hasher=self.hasher, resumable=resumable,
                cache_salt=salt,
            )
        )  # fmt: skip

    def ask(self, prompt, params, salt=None):
        """Send a request."""
        self.count += 1
        name, prompt = f"request {self.count}", prompt[: POSITIONS - 6]
        self.asked[name], self.answers[name] = (prompt, params), []
        self.send(name, prompt, params, salt=salt)

    @rule(prompt=prompts, params=hard_params, salt=st.sampled_from([None, None, "salt"]))
    def ask_in_hard_context(self, prompt, params, salt):
        """Some prompts have a salt, which keeps their blocks apart."""
        self.ask(prompt, params, salt)

    @rule(prompt=prompts, params=hard_params | soft_params)
    def ask_anything(self, prompt, params):
        """Soft and hard context share the batch."""
        self.ask(prompt, params)

    @precondition(lambda self: self.done)
    @rule(data=st.data(), params=hard_params)
    def go_on_from_an_answer(self, data, params):
        """The next turn."""
        text = data.draw(st.sampled_from(range(len(self.done))))
        self.ask([*self.done[text], 1], params)

    @precondition(lambda self: self.scheduler.running)
    @rule(data=st.data(), params=hard_params | soft_params)
    def read_what_runs(self, data, params):
        """A request whose prompt is the live text of another, up to a full block."""
        running = data.draw(st.sampled_from(range(len(self.scheduler.running))))
        request = self.scheduler.running[running]
        full = request.num_computed_tokens // BLOCK * BLOCK
        self.ask([*request.all_token_ids[:full], 2], params, request.cache_salt)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def give_up(self, data):
        """Its client is gone."""
        name = data.draw(st.sampled_from(sorted(self.asked)))
        self.scheduler.finish_requests(name, RequestStatus.FINISHED_ABORTED)
        self.judge(name, None)

    @precondition(lambda self: len(self.sessions) < 2)
    @rule(prompt=prompts, params=soft_params)
    def open_session(self, prompt, params):
        """A prompt that comes in parts."""
        self.count += 1
        name = f"session {self.count}"
        self.sessions[name] = [prompt[:6], params, [], True]
        self.send(name, prompt[:6], params, resumable=True)

    @precondition(lambda self: any(not busy and len(p) < 12 for p, _, _, busy in self.sessions.values()))
    @rule(data=st.data(), words=st.lists(st.integers(0, 6), min_size=1, max_size=5))
    def say_more(self, data, words):
        """Its next part."""
        free = [name for name, (p, _, _, busy) in self.sessions.items() if not busy and len(p) < 12]
        name = data.draw(st.sampled_from(free))
        prompt, params, ids, _ = self.sessions[name]
        self.sessions[name] = [[*prompt, *ids[:-1], *words], params, [], True]
        self.send(name, words, params, resumable=True)

    @rule(steps=st.integers(1, 12))
    def step(self, steps):
        """What the engine does."""
        for _ in range(steps):
            plan = self.scheduler.schedule()
            outputs = self.scheduler.update_from_output(plan, self.worker.run(plan))
            for output in [output for each in outputs.values() for output in each.outputs]:
                self.take(output)
            self.blocks_are_known_by_what_they_hold()

    def take(self, output):
        """What clients are told."""
        name, finish = output.request_id, None
        if output.finish_reason is not None:  # "stop" is the number 0
            finish = str(output.finish_reason)
        if name in self.sessions:
            prompt, params, ids, _ = self.sessions[name]
            ids += output.new_token_ids
            if finish:
                assert expected(prompt, params, len(ids)) == (ids, finish)
                self.sessions[name][3] = False
                self.counts["parts"] += 1
            return
        self.answers[name] += output.new_token_ids
        if finish:
            self.judge(name, finish)

    def judge(self, name, finish):
        """Compare an answer, or the beginning of one, with what it should be."""
        (prompt, params), ids = self.asked.pop(name), self.answers.pop(name)
        assert expected(prompt, params, len(ids)) == (ids, finish)
        request = EditRequest.from_extra_args(params.extra_args)
        is_hard = request is not None and request.context is Context.HARD
        live = EditState(VOCAB).extend(ids).live_ids if is_hard else ids
        self.done.append([*prompt, *live])
        self.counts["answers"] += 1

    @precondition(lambda self: self.pool.get_num_free_blocks() > 2)
    @rule(data=st.data())
    def squeeze(self, data):
        """Others take free blocks, so that requests wait and are preempted."""
        free = self.pool.get_num_free_blocks()
        self.held += self.pool.get_new_blocks(data.draw(st.integers(1, free)))

    @precondition(lambda self: self.held)
    @rule()
    def release(self):
        """They are free again."""
        self.pool.free_blocks(self.held)
        self.held = []

    @rule(tokens=st.integers(1, TOKENS))
    def bound_the_step(self, tokens):
        """Prompts are computed in chunks, and requests wait for their turn."""
        self.scheduler.max_num_scheduled_tokens = tokens

    @precondition(lambda self: not self.held and all(busy for *_, busy in self.sessions.values()))
    @rule()
    def empty_the_cache(self):
        """As after an update of the weights; idle sessions would keep their blocks."""
        if not any(name in self.scheduler.requests for name in self.sessions):
            assert self.scheduler.reset_prefix_cache(reset_running_requests=True)

    @invariant()
    def blocks_are_known_by_what_they_hold(self):
        """What the prefix cache knows of a running request's blocks are the hashes of its live text."""
        for request in self.scheduler.running:
            full = request.num_tokens // BLOCK
            known = [block.block_hash for block in self.group.req_to_blocks[request.request_id]]
            cached = self.group.num_cached_block.get(request.request_id, 0)
            assert cached <= full, "more blocks are published than are full"
            fresh = Request(
                "fresh", list(request.all_token_ids), SamplingParams(), None, block_hasher=self.hasher,
                cache_salt=request.cache_salt,
            )  # fmt: skip
            assert request.block_hashes == fresh.block_hashes, "a hash is stale or missing"
            assert [each[:-4] for each in known[:cached]] == request.block_hashes[:cached]
            assert not any(known[cached:]), "a block that is written to has a hash"

    def teardown(self):
        """Answer all, read what blocks have ever held, and count the blocks."""
        if self.held:
            self.release()
        self.scheduler.max_num_scheduled_tokens = TOKENS
        self.run_out()
        for text in list(self.done):
            self.ask([*text, 5], params_of(None, 2, 0, []))
        self.run_out()
        assert self.pool.get_num_free_blocks() == BLOCKS - 1, "blocks are lost"
        kept = (self.scheduler.requests, self.scheduler._traces, self.scheduler._refused)
        kept += (self.group.req_to_blocks, self.group.num_cached_block)
        assert not any(kept)

    def run_out(self):
        """Let every request end."""
        for _ in range(1000):
            for name in [name for name, (*_, busy) in self.sessions.items() if not busy]:
                del self.sessions[name]
                self.send(name, [0], SamplingParams())
            if not self.asked and not self.sessions:
                return
            self.step(1)
        left = [
            (name, request.status.name, request.num_tokens, request.num_computed_tokens)
            for name, request in self.scheduler.requests.items()
        ]
        raise AssertionError(f"{left} do not end; {self.asked}, {self.sessions}")


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
