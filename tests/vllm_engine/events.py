"""The state machine of events_on_cpu.py: clients ask one real engine, and things happen to its scheduler."""

from contextlib import suppress

from cpu_engine import BLOCK
from event_answers import Answer, Session, in_hard_context
from event_requests import FAMILIES, HARD, OTHER, PART, PROMPTS, WORDS, WRITERS
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from small_engine import BLOCKS, COUNTS, POSITIONS, TOKENS
from torch import manual_seed
from vllm import SamplingParams

from halluc_plugin.vllm_engine.equivalence import VOCAB

MOST_STEPS = 4000
"""More than the requests of any example need."""
CROWD = 8
"""Requests that may wait or run; with more, those that read what others write would come too late."""


class Events(RuleBasedStateMachine):
    """Everything that can happen to a scheduler, in any order."""

    engine = oracle = make = None
    free_to_ask = precondition(lambda self: len(self.pending) < CROWD)

    def __init__(self):
        super().__init__()
        self.pending, self.done, self.sessions, self.held = {}, [], {}, []
        self.broken, self.count = False, 0
        self.scheduler = self.engine.scheduler
        self.pool = self.scheduler.kv_cache_manager.block_pool
        (self.group,) = self.scheduler.kv_cache_manager.coordinator.single_type_managers
        assert self.engine.engine.reset_prefix_cache(), "a block is still used"
        manual_seed(0)  # temperature above 0 draws from it, as no request has a seed
        COUNTS["examples"] += 1

    # What clients do.

    def ask(self, prompt, params, salt=None):
        """Send a request."""
        self.count += 1
        name = f"q{self.count}"
        prompt = prompt[: POSITIONS - 2]
        sent = {"prompt_token_ids": prompt} | ({"cache_salt": salt} if salt else {})
        self.engine.engine.add_request(name, sent, params)
        self.pending[name] = {index: Answer(prompt, params) for index in range(params.n)}
        COUNTS["requests"] += 1
        COUNTS["n > 1"] += params.n > 1

    @free_to_ask
    @rule(prompt=PROMPTS, params=HARD, salt=st.sampled_from([None, None, "salt"]))
    def ask_in_hard_context(self, prompt, params, salt):
        """Some prompts have a salt, which keeps their blocks apart."""
        self.ask(prompt, params, salt)

    @free_to_ask
    @rule(prompt=PROMPTS, params=HARD | OTHER)
    def ask_anything(self, prompt, params):
        """Requests in soft context or without settings of ours share the batch."""
        self.ask(prompt, params)

    @free_to_ask
    @rule(family=st.sampled_from(FAMILIES), blocks=st.integers(1, 3), params=WRITERS)
    def ask_a_writer(self, family, blocks, params):
        """Its first action completes a block, and it goes far back now and then."""
        self.ask(family[: blocks * BLOCK - 1], params)

    @precondition(lambda self: self.done and len(self.pending) < CROWD)
    @rule(data=st.data(), words=WORDS, params=HARD)
    def go_on_from_an_answer(self, data, words, params):
        """The next turn: what is left of an answer, and more."""
        answer = data.draw(st.sampled_from(range(len(self.done))))
        *_, text = [self.done[answer].prompt, *self.done[answer].live_texts()]
        self.ask([*text, *words], params)
        COUNTS["turns"] += 1

    def written(self):
        """Texts of running requests that fill a block with what was answered."""
        return [
            request.all_token_ids[:full]
            for request in self.scheduler.running
            if (full := request.num_computed_tokens // BLOCK * BLOCK) > request.num_prompt_tokens
        ]

    @precondition(lambda self: self.scheduler.running)
    @rule(data=st.data(), params=HARD | OTHER)
    def read_what_is_written(self, data, params):
        """A request whose prompt is the live text of another, which may rewind into blocks that are read."""
        for _ in range(BLOCK):
            if texts := self.written():
                text = texts[data.draw(st.integers(0, len(texts) - 1))]
                self.ask([*text, text[0]], params)
                COUNTS["readers"] += 1
                break
            self.step_once()

    @precondition(lambda self: len(self.pending) > 3)
    @rule(data=st.data())
    def give_up(self, data):
        """The client of a request is gone; what it got until then was right."""
        name = data.draw(st.sampled_from(sorted(self.pending)))
        self.engine.engine.abort_request([name])
        answers = self.pending.pop(name).values()
        COUNTS["given up"] += 1
        COUNTS["given up in between"] += any(answer.ids and not answer.finish for answer in answers)
        for answer in answers:
            self.judge(answer)

    @precondition(lambda self: len(self.sessions) < 2)
    @rule(prompt=PROMPTS, params=PART)
    def open_session(self, prompt, params):
        """A prompt that comes in parts, in soft context or without settings of ours."""
        self.count += 1
        session = Session(f"s{self.count}", prompt[:40], params)
        self.sessions[session.name] = session
        self.say(session, prompt[:40])
        COUNTS["sessions"] += 1

    @precondition(lambda self: self.sessions)
    @rule(data=st.data(), words=WORDS)
    def say_more(self, data, words):
        """The next part of a prompt, maybe before the answer to the last one has ended."""
        session = self.sessions[data.draw(st.sampled_from(sorted(self.sessions)))]
        spoken = len(session.answer.prompt) + 30 * (1 + len(session.waiting))
        if spoken < POSITIONS - 40:
            session.waiting.append(words)
            self.say(session, words)
            COUNTS["parts"] += session.next_part()

    @precondition(lambda self: self.silent())
    @rule()
    def hang_up(self):
        """No part is left of those prompts that have been answered."""
        for session in self.silent():
            self.say(session, [0], last=True)
            del self.sessions[session.name]

    def silent(self):
        """Sessions whose client could say more."""
        return [each for each in self.sessions.values() if each.answer.finish and not each.waiting]

    def say(self, session, words, *, last=False):
        """Send a part of a session's prompt."""
        session.internal = self.engine.say(session.name, words, session.params, session.internal, last=last)

    # What the machine does.

    @rule(steps=st.integers(1, 9))
    def step(self, steps):
        """A few steps."""
        for _ in range(steps):
            self.step_once()

    @rule(steps=st.integers(5, 30))
    def step_on(self, steps):
        """More of them, so that much is under way."""
        for _ in range(steps):
            self.step_once()

    def step_once(self):
        """One step of the engine; answers that end are judged."""
        try:
            outputs = self.engine.engine.step()
        except BaseException:
            self.broken = True
            raise
        COUNTS["steps"] += 1
        for output in outputs:
            session = self.sessions.get(output.request_id)
            if session:
                session.answer.take(output.outputs[0])
                if session.answer.finish:
                    self.judge(session.answer)
                    COUNTS["parts"] += session.next_part()
                continue
            answers = self.pending.get(output.request_id, {})
            for part in output.outputs:
                answers[part.index].take(part)
            if output.finished:
                for answer in self.pending.pop(output.request_id).values():
                    self.expect(answer.finish, "an answer ended without a reason")
                    self.judge(answer)
                    self.done.append(answer)

    @precondition(lambda self: not self.held)
    @rule(left=st.integers(0, 6))
    def squeeze(self, left):
        """Others take free blocks, so that requests wait and are preempted."""
        taken = self.pool.get_num_free_blocks() - left
        self.held += self.pool.get_new_blocks(taken) if taken > 0 else []

    @precondition(lambda self: self.held)
    @rule()
    def release(self):
        """They are free again."""
        self.pool.free_blocks(self.held)
        self.held = []

    @rule(tokens=st.sampled_from([5, 17, 33, TOKENS]))
    def bound_the_step(self, tokens):
        """Fewer tokens a step, so that prompts are computed in chunks and requests wait for their turn."""
        self.scheduler.max_num_scheduled_tokens = tokens

    # Blocks that others hold, or sessions that wait for their client, are not the cache's to empty.
    @precondition(lambda self: self.scheduler.running and not self.held and not self.sessions)
    @rule()
    def empty_the_cache(self):
        """As after an update of the weights."""
        self.engine.engine.reset_prefix_cache(reset_running_requests=True)
        COUNTS["cache emptied"] += 1

    # What must hold.

    def expect(self, holds, message):
        """Fail, and let the example end without more."""
        if not holds:
            self.broken = True
            raise AssertionError(message)

    def judge(self, answer):
        """Compare with the oracle."""
        found = self.oracle.defects(answer.prompt, answer.params, answer.ids, answer.logprobs, answer.finish)
        self.expect(not found, f"{found}: {answer.prompt} -> {answer.ids} by {answer.params}")
        COUNTS["actions"] += len(answer.ids)
        if in_hard_context(answer.params):
            COUNTS["edits"] += sum(token in VOCAB.edit_ids for token in answer.ids)

    @invariant()
    def blocks_are_known_by_what_they_hold(self):
        """What the prefix cache knows of a running request's blocks are the hashes of its live text."""
        for request in self.scheduler.running:
            full = request.num_tokens // BLOCK
            blocks = self.group.req_to_blocks[request.request_id]
            cached = self.group.num_cached_block.get(request.request_id, 0)
            self.expect(cached <= full, "more blocks are published than are full")
            self.expect(len(request.block_hashes) == full, "a hash is stale or missing")
            known = [block.block_hash and block.block_hash[:-4] for block in blocks]
            self.expect(known[:cached] == request.block_hashes[:cached], "a block has another's hash")
            self.expect(not any(known[cached:]), "a block that is written to has a hash")

    def teardown(self):
        """Answer all, look for what is stale in the cache, and count the blocks."""
        if self.held:
            self.release()
        self.scheduler.max_num_scheduled_tokens = TOKENS
        try:
            if not self.broken:
                self.run_out()
                self.read_all()
                self.count_blocks()
        finally:
            if self.broken:
                self.clear()

    def run_out(self):
        """Let every request end."""
        for _ in range(MOST_STEPS):
            self.hang_up()
            if not self.pending and not self.sessions:
                break
            self.step_once()
            self.blocks_are_known_by_what_they_hold()
        self.expect(not self.pending, "a request does not end")

    def read_all(self):
        """Ask once more for all that blocks have ever held: whatever is stale is read."""
        texts = {
            tuple(text[:-1] if len(text) % BLOCK else text): None
            for answer in self.done
            for text in answer.live_texts()
            if len(text) % BLOCK <= 1 and len(text) >= BLOCK
        }
        params = SamplingParams(temperature=0.0, max_tokens=1, logprobs=0, detokenize=False)
        for text in list(texts)[:32]:
            self.ask([*text, 7], params)
        self.run_out()

    def count_blocks(self):
        """No block, no request and no state is left."""
        used = {name: len(blocks) for name, blocks in self.group.req_to_blocks.items()}
        free = self.pool.get_num_free_blocks()
        self.expect(free == BLOCKS - 1, f"{free} of {BLOCKS - 1} blocks are free; requests hold {used}")
        self.expect(not any(b.ref_cnt for b in self.pool.blocks[1:]), "a block is still counted as used")
        kept = (self.scheduler.requests, self.scheduler._traces, self.scheduler._refused)
        kept += (self.group.req_to_blocks, self.group.num_cached_block)
        self.expect(not any(kept), f"{kept} are kept")

    def clear(self):
        """Make the engine fit for the next example; where that fails, make another one."""
        with suppress(Exception):
            names = [session.internal for session in self.sessions.values()]
            self.engine.engine.abort_request(names, internal=True)
            self.engine.engine.abort_request(list(self.pending))
            self.count_blocks()
            return
        Events.engine = Events.make()
