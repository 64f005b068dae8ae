"""Greedy searches with tabu, the same for every sampler: two kinds, of the same prompts."""

from halluc_plugin.decoding import Tabu
from halluc_plugin.search import Space, independent, self_backtracking
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB

GREEDY = Space(
    VOCAB, frozenset({EOS}), VOCAB.step_delimiters, max_tokens=40, temperature=0.0, tabu=Tabu.FIRST
)
_PROMPTS = [(16 + i, 16, *((7 * (600 + i) + j * j) % 39 for j in range(3 + 2 * i))) for i in range(8)]
SEARCHED_PROMPTS = [*_PROMPTS, *_PROMPTS]


def searches():
    """One for each of the prompts, not begun."""
    returning = [self_backtracking(prompt, GREEDY, n=1, rounds=9) for prompt in _PROMPTS]
    return returning + [independent(prompt, GREEDY, n=4) for prompt in _PROMPTS]


def samples_of(found):
    """All that a search asked for and was given, as JSON can hold it."""
    return [
        {
            "prefix": list(request.prefix), "banned": sorted(request.banned_first), "ids": list(sample.ids),
            "logprobs": list(sample.logprobs), "end": sample.end.value,
        }
        for request, sample in found.samples
    ]  # fmt: skip
