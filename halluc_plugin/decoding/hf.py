"""Batched decoding of a transformers model in soft or hard context, one forward slot per action."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import torch

from halluc_plugin.decoding.attention import grouped_heads
from halluc_plugin.decoding.policy import EditPolicy
from halluc_plugin.decoding.slots import SlotCache
from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.settings import Context


class Finish(StrEnum):
    """Why a response ended."""

    EOS = "eos"
    LENGTH = "length"


@dataclass(frozen=True)
class Decoding:
    """How to decode.

    Args:
        vocab: Which ids edit.
        max_actions: Most raw actions per response, edits and erased tokens included.
        context: Soft or hard.
        temperature: 0 decodes greedily; then hard context needs ``tabu`` or a ``budget``, since an error
            and its backtrack lead back to the very same state.
        budget: Most effective edits per response, None for no limit.
        boundary: What an edit does on an empty response.
        tabu: Ban returning to a rejected state (evaluation only).
        eos_ids: Ids that end a response; they count as text.

    Raises:
        SettingsError: A value is out of range, or greedy hard decoding could loop for ever.
    """

    vocab: EditVocab
    max_actions: int
    context: Context = Context.SOFT
    temperature: float = 1.0
    budget: int | None = None
    boundary: Boundary = Boundary.NOOP
    tabu: bool = False
    eos_ids: frozenset[int] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if self.max_actions < 1:
            raise SettingsError(f"max_actions is {self.max_actions}.", "Give at least 1.")
        if self.temperature < 0:
            raise SettingsError(f"temperature is {self.temperature}.", "Give 0 for greedy, or more.")
        loops = (
            self.context is Context.HARD and self.temperature == 0 and not self.tabu and self.budget is None
        )
        if loops:
            raise SettingsError(
                "Greedy decoding in hard context returns to the same state after every backtrack and loops.",
                "Set tabu=True, a budget, or a temperature above 0.",
            )


@dataclass(frozen=True)
class RawTrace:
    """One response as sampled.

    Attributes:
        ids: All actions, edits included, EOS included when sampled.
        logprobs: Log-probability of each under the sampling distribution (after bans and temperature;
            for greedy decoding at temperature 1).
        finish: Why it ended.
    """

    ids: list[int]
    logprobs: list[float]
    finish: Finish


@torch.no_grad()
def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    generator: torch.Generator | None = None,
) -> list[RawTrace]:
    """Sample one response to each prompt.

    Args:
        model: A transformers causal language model with full attention, in eval mode.
        prompts: Token ids; edit tokens inside are inert.
        decoding: How to decode.
        generator: Source of randomness on the model's device; torch's default otherwise.

    Returns:
        A trace for each prompt, in order.

    Raises:
        TraceError: A prompt is empty.
        SettingsError: The model has layers that cannot be rewound.
    """
    if not prompts:
        return []
    if any(len(prompt) == 0 for prompt in prompts):
        raise TraceError("A prompt is empty.", "Give at least one token, e.g. the tokenizer's BOS.")
    with grouped_heads(model):
        batch = _Batch(model, prompts, decoding)
        while batch.active:
            logits = batch.forward()
            batch.apply(*_sample(logits, batch.bans(), decoding.temperature, generator))
    return [row.trace() for row in batch.rows]


class _Row:
    """One response being written."""

    def __init__(self, prompt: Sequence[int], decoding: Decoding) -> None:
        self.prompt = list(prompt)
        self.policy = EditPolicy(
            decoding.vocab, budget=decoding.budget, boundary=decoding.boundary, tabu=decoding.tabu
        )
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish: Finish | None = None

    def next_input(self, context: Context) -> tuple[int, int]:
        """Token to feed and its position: the last token of the context, fed again after an edit."""
        written = self.policy.state.live_ids if context is Context.HARD else self.ids
        last = written[-1] if written else self.prompt[-1]
        return last, len(self.prompt) - 1 + len(written)

    def push(self, token_id: int, logprob: float, decoding: Decoding) -> None:
        self.ids.append(token_id)
        self.logprobs.append(logprob)
        self.policy.push(token_id)
        if token_id in decoding.eos_ids:
            self.finish = Finish.EOS
        elif len(self.ids) >= decoding.max_actions:
            self.finish = Finish.LENGTH

    def trace(self) -> RawTrace:
        assert self.finish is not None
        return RawTrace(self.ids, self.logprobs, self.finish)


class _Batch:
    """The rows still being written and their cache."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], decoding: Decoding) -> None:
        self.model, self.decoding = model, decoding
        self.device = next(model.parameters()).device
        self.rows = [_Row(prompt, decoding) for prompt in prompts]
        self.active = list(self.rows)
        self.cache = SlotCache(model.config, max(map(len, prompts)) + decoding.max_actions)
        self._prefill()

    def _prefill(self) -> None:
        """Fill the slots of all prompt tokens but the last, which the first step feeds like any other."""
        width = max(len(row.prompt) for row in self.rows) - 1
        if width == 0:
            return
        # Right padding: a padded slot is overwritten before any query can see it.
        padded = [(row.prompt[:-1] + [row.prompt[0]] * width)[:width] for row in self.rows]
        ids = torch.tensor(padded, device=self.device)
        positions = torch.arange(width, device=self.device).expand_as(ids)
        causal = torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
        self.cache.place(positions, width)
        self.model.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=causal.expand(len(padded), 1, width, width),
            past_key_values=self.cache,
            use_cache=True,
        )

    def forward(self) -> torch.Tensor:
        """Logits of the next action, ``[active rows, vocabulary]``."""
        fed = [row.next_input(self.decoding.context) for row in self.active]
        ids = torch.tensor([[token] for token, _ in fed], device=self.device)
        positions = torch.tensor([[position] for _, position in fed], device=self.device)
        visible = max(position for _, position in fed) + 1
        self.cache.place(positions, visible)
        seen = torch.arange(visible, device=self.device) <= positions
        output = self.model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=seen[:, None, None, :],
            past_key_values=self.cache,
            use_cache=True,
        )
        return output.logits[:, -1].float()

    def bans(self) -> tuple[list[int], list[int]]:
        """Row and token index of everything that must not be sampled."""
        pairs = [(index, token) for index, row in enumerate(self.active) for token in row.policy.banned()]
        return [index for index, _ in pairs], [token for _, token in pairs]

    def apply(self, ids: torch.Tensor, logprobs: torch.Tensor) -> None:
        """Write the sampled actions and drop finished rows when they are half of the batch."""
        for row, token_id, logprob in zip(self.active, ids.tolist(), logprobs.tolist(), strict=True):
            if row.finish is None:
                row.push(token_id, logprob, self.decoding)
        going = [index for index, row in enumerate(self.active) if row.finish is None]
        if not going or len(going) <= len(self.active) // 2:
            self.cache.select(torch.tensor(going, dtype=torch.long, device=self.device))
            self.active = [self.active[index] for index in going]


def _sample(
    logits: torch.Tensor,
    bans: tuple[list[int], list[int]],
    temperature: float,
    generator: torch.Generator | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    if bans[0]:
        logits[bans[0], bans[1]] = -torch.inf
    logprobs = torch.log_softmax(logits / (temperature or 1.0), dim=-1)
    if temperature == 0:
        ids = logprobs.argmax(dim=-1)
    else:
        ids = torch.multinomial(logprobs.exp(), 1, generator=generator).squeeze(1)
    return ids, logprobs.gather(1, ids[:, None]).squeeze(1)
