"""Everything that can happen to our scheduler, whose worker is a model (modelled_worker.py)."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from vllm import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher
from vllm.v1.request import Request, RequestStatus

from halluc_plugin.edits import Context, EditState
from halluc_plugin.vllm_engine.request import EditRequest, Length
from tests.vllm_engine.modelled_worker import BLOCK, POSITIONS, STOP, VOCAB, Worker, expected

BLOCKS, SEATS, TOKENS = 20, 5, 16
TEXTS = [[(5 * i * i + i + family) % 7 for i in range(POSITIONS)] for family in range(2)]

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
