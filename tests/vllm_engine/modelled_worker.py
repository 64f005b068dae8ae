"""A model of vLLM's worker and its KV cache, for the machine of modelled_events.py; it takes no engine.

The cache holds a number in each slot in place of keys: a digest of the token there and of what the slot
before it holds. The next action is a function of the number behind the last token, so whatever is stale,
foreign or missing anywhere before changes it.
"""

import hashlib
from types import SimpleNamespace

from vllm.v1.outputs import ModelRunnerOutput

from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.vllm_engine.request import EditRequest, Length

BLOCK, POSITIONS = 4, 40
VOCAB = EditVocab(40, step=41, step_delimiters=frozenset({3, 4}), restart=42)
STOP = 9


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
