"""What an exact engine answers, by plain forward passes of transformers over the text that is left.

There is no cache and no batch: each run of text is one pass over the prompt and the live tokens. Edits are
resolved by the core (:class:`EditState`), bans are those of :class:`EditPolicy`.
"""

from functools import lru_cache

import torch

from halluc_plugin.decoding.policy import EditPolicy
from halluc_plugin.edits import Context, EditKind, EditState
from halluc_plugin.vllm_engine.equivalence import EOS
from halluc_plugin.vllm_engine.request import EditRequest, Length

TOLERANCE = 1e-4


class Oracle:
    """Judges answers of an engine that runs ``model``, which has ``positions`` positions."""

    def __init__(self, model, positions):
        self.model, self.positions = model, positions
        self.passes = lru_cache(1024)(self._passes)

    @torch.no_grad()
    def _passes(self, text):
        return self.model(torch.tensor([text])).logits[0].float()

    def defects(self, prompt, params, ids, logprobs, finish):
        """What is wrong with an answer, or with the beginning of one (``finish`` is None); empty if exact."""
        request = EditRequest.from_extra_args(params.extra_args)
        rows = self.distributions(prompt, params, ids, request)
        want = rows[torch.arange(len(ids)), torch.tensor(ids, dtype=torch.long)]
        far = float((want - torch.tensor(logprobs)).abs().max()) if ids else 0.0
        found = [f"log-probs are off by {far}"] if not far < TOLERANCE else []
        if params.temperature == 0 and ids and not (rows.max(1).values - want < TOLERANCE).all():
            found.append("a greedy action is not the likeliest")
        expected = self.finish(len(prompt), params, ids, request)
        if finish != expected:
            found.append(f"it ended by {finish}, and should have by {expected}")
        return found

    def distributions(self, prompt, params, ids, request):
        """Log-probs from which each action should have been sampled, Float[T, vocabulary]."""
        hard = request is not None and request.context is Context.HARD
        policy = request and EditPolicy(
            request.vocab, budget=request.budget, boundary=request.boundary, tabu=request.tabu
        )
        state, at, rows = EditState(request.vocab) if hard else None, [], []
        stops = {EOS, *(params.stop_token_ids or ())}
        for index, token in enumerate(ids):
            live = list(state.live_ids) if hard else ids[:index]
            if len(at) <= len(live):
                run = self._run(request.vocab if hard else None, ids[index:])
                at[len(live) :] = self.passes((*prompt, *live, *run))[len(prompt) - 1 + len(live) :]
            logits = at[len(live)].clone()
            for biased, bias in (params.logit_bias or {}).items():
                logits[biased] += bias
            banned = set(policy.banned()) if policy else set()
            if len(live) < params.min_tokens:
                banned |= stops
            logits[sorted(banned)] = -torch.inf
            rows.append((logits / (params.temperature or 1.0)).log_softmax(-1))
            if policy:
                policy.push(token)
            if hard:
                state.push(token)
                if request.vocab.kind(token) is not EditKind.TEXT:
                    del at[state.depth + 1 :]
        return torch.stack(rows) if rows else torch.empty(0, 0)

    @staticmethod
    def _run(vocab, ids):
        """The ids up to the next edit."""
        if vocab is None:
            return ids
        return ids[: next((i for i, token in enumerate(ids) if token in vocab.edit_ids), len(ids))]

    def finish(self, prompt_length, params, ids, request):
        """Why an answer ends behind its last action, None if it goes on; an action too many is an error."""
        hard = request is not None and request.context is Context.HARD
        collapsed = hard and request.length is Length.COLLAPSED
        state, stops = EditState(request.vocab) if hard else None, {EOS, *(params.stop_token_ids or ())}
        for index, token in enumerate(ids):
            if hard:
                state.push(token)
            live = state.depth if hard else index + 1
            is_text = not hard or request.vocab.kind(token) is EditKind.TEXT
            reached = is_text and live >= params.min_tokens  # vLLM asks for no end below the minimum
            full = (is_text if hard else reached) and prompt_length + live >= self.positions
            spent = reached and live >= params.max_tokens
            raw = hard and index + 1 >= (request.max_actions if collapsed else params.max_tokens)
            end = "stop" if reached and token in stops else "length" if full or spent or raw else None
            if end:
                return end if index + 1 == len(ids) else f"{end} after action {index}"
        return None
