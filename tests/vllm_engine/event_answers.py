"""What has arrived of answers, as a client keeps it."""

from halluc_plugin.edits import Context, EditState
from halluc_plugin.vllm_engine.equivalence import VOCAB
from halluc_plugin.vllm_engine.request import EditRequest


def in_hard_context(params):
    """Whether a request with these parameters is to rewind."""
    request = EditRequest.from_extra_args(params.extra_args)
    return request is not None and request.context is Context.HARD


class Answer:
    """What has arrived of one answer."""

    def __init__(self, prompt, params):
        self.prompt, self.params = prompt, params
        self.ids, self.logprobs, self.finish = [], [], None

    def take(self, output):
        """The next part of it, or all of it so far, by the request's kind of output."""
        if not is_delta(self.params):
            assert list(output.token_ids[: len(self.ids)]) == self.ids, "an action that was sent has changed"
            self.ids, self.logprobs = [], []
        self.ids += output.token_ids
        self.logprobs += [
            at[token].logprob for token, at in zip(output.token_ids, output.logprobs or (), strict=True)
        ]
        self.finish = output.finish_reason

    def live_texts(self):
        """Every text that prompt and answer have been on the way."""
        state = EditState(VOCAB) if in_hard_context(self.params) else None
        raw = []
        for token in self.ids:
            if state:
                state.push(token)
            raw.append(token)
            yield [*self.prompt, *(state.live_ids if state else raw)]


def is_delta(params):
    """Whether each output holds what is new alone."""
    return params.output_kind.name == "DELTA"


class Session:
    """A request whose prompt comes in parts; it is answered after each."""

    def __init__(self, name, prompt, params):
        self.name, self.params, self.internal, self.waiting = name, params, None, []
        self.answer = Answer(prompt, params)

    def next_part(self):
        """Once an answer has ended, the next part follows all of it but the last token; whether one did."""
        if not (self.answer.finish and self.waiting):
            return False
        answer = self.answer
        self.answer = Answer([*answer.prompt, *answer.ids[:-1], *self.waiting.pop(0)], self.params)
        return True
