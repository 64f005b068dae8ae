"""Decode a transformers model in batches in soft or hard context, with one forward slot per action."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import LogitsProcessorList

from halluc_plugin.decoding.asked import DecodedTrace, Decoding
from halluc_plugin.decoding.attention import grouped_heads
from halluc_plugin.decoding.drawing import Drawn, draw
from halluc_plugin.decoding.generation import Processing
from halluc_plugin.decoding.limits import max_positions, require_room, require_rows
from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.decoding.row import Row
from halluc_plugin.decoding.slots import SlotCache
from halluc_plugin.decoding.watching import Watched
from halluc_plugin.errors import TraceError
from halluc_plugin.progress import count_tokens

ReadState = Callable[[torch.Tensor], torch.Tensor]
"""Reads a number from the last hidden state of each row: Float[R, H] to Float[R]."""
Steer = Callable[[int, Sequence[int]], int | None]
"""``steer(response, live_ids)``: the id that a response's next action is, None to let the model sample it."""


@torch.no_grad()
def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    decoding: Decoding,
    *,
    limits: Sequence[int] | None = None,
    banned_first: Sequence[frozenset[int]] | None = None,
    processors: LogitsProcessorList | None = None,
    pad_id: int = 0,
    generator: torch.Generator | None = None,
    read: ReadState | None = None,
    steer: Steer | None = None,
) -> list[DecodedTrace]:
    """Sample one response to each prompt.

    Args:
        model: A transformers causal language model with full attention, in eval mode; it may be spread over
            several devices.
        prompts: The token ids of each prompt; edit tokens in them have no effect.
        decoding: The settings of the decoding.
        limits: Largest number of raw actions of each response, at most ``decoding.max_actions``; None for
            ``decoding.max_actions`` everywhere.
        banned_first: For each response, the ids that it may not begin with; None for none.
        processors: Logits processors that change the scores of the next token by what the model sees: in soft
            context all that was written, in hard context what is live, padded on the left as ``generate``
            does. Banned tokens stay banned. They may include a temperature; that of ``decoding`` is applied
            last.
        pad_id: The id that ``processors`` find at padding.
        generator: The source of randomness, on the model's first device; None for torch's default.
        read: Function that reads a number from what the trunk computes of each state, as a head on it does;
            the last action of a response is then fed, too. None for none.
        steer: Function that may take the place of the model at an action, as a teacher does; it is asked
            before each with the index of the response and what is live of it. No ban holds for its ids,
            whose log-probability is 0. None for the model alone.

    Returns:
        One trace for each prompt, in order.

    Raises:
        TraceError: A prompt is empty, or every token is banned.
        SettingsError: The model has layers that cannot be rewound, or too few positions for such a response.
        TokenizerError: The model has no row for an edit token.
    """
    if not prompts:
        return []
    if any(len(prompt) == 0 for prompt in prompts):
        raise TraceError("A prompt is empty.", "Give at least one token, e.g. the tokenizer's BOS.")
    limits = [decoding.max_actions] * len(prompts) if limits is None else limits
    require_room(model.config, prompts, limits, decoding.context)
    require_rows(model.config, decoding.vocab)
    processing = (
        Processing(processors, prompts, decoding.max_actions, pad_id, input_device(model))
        if processors
        else None
    )
    with grouped_heads(model):
        batch = _Batch(model, prompts, decoding, limits, processing, read=read, steer=steer)
        for row, banned in zip(batch.rows, banned_first or (), strict=banned_first is not None):
            row.banned_first = banned
        while batch.active:
            batch.apply(draw(batch.scores(), decoding.temperature, batch.edit_ids, generator))
    return [row.trace() for row in batch.rows]


def input_device(model: Any) -> torch.device:
    """Return the device on which a model expects its input.

    A model may be spread over several devices, or be offloaded from all of them.
    """
    embeddings = model.get_input_embeddings()
    device: torch.device = embeddings.weight.device
    if device.type == "meta":  # accelerate fetches the weights when they are used
        device = torch.device(embeddings._hf_hook.execution_device)  # noqa: SLF001 - accelerate has no other name
    return device


class _Batch:
    """The rows still being written, their cache, and what their logits go through."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[Sequence[int]],
        decoding: Decoding,
        limits: Sequence[int],
        processing: "Processing | None",
        *,
        read: ReadState | None,
        steer: Steer | None,
    ) -> None:
        self.model, self.decoding, self.processing, self.read = model, decoding, processing, read
        self._steer = steer
        self._states: torch.Tensor | None = None
        self.device = input_device(model)
        positions = max_positions(model.config)
        self.rows = [
            Row(number, prompt, decoding, limit, positions)
            for number, (prompt, limit) in enumerate(zip(prompts, limits, strict=True))
        ]
        self.active = list(self.rows)
        slots = max(len(prompt) + limit for prompt, limit in zip(prompts, limits, strict=True))
        self.cache = SlotCache(model.config, slots if positions is None else min(slots, positions))
        rows = model.config.get_text_config().vocab_size
        self.edit_ids = sorted(token for token in decoding.vocab.edit_ids if token < rows)
        self._unknown = decoding.vocab.unknown_ids(model.config.get_text_config().vocab_size)
        self._watched = (
            None
            if decoding.trigger is None
            else Watched(decoding.trigger, decoding.delimiters, {*self.edit_ids, *self._unknown})
        )
        self._prefill()

    def _prefill(self) -> None:
        """Fill the slots of all prompt tokens but the last, which the first step feeds like any other."""
        width = max(len(row.prompt) for row in self.rows) - 1
        if width == 0:
            return
        # Several responses to one prompt share its forward pass.
        numbers: dict[tuple[int, ...], int] = {}
        places = [numbers.setdefault(tuple(row.prompt), len(numbers)) for row in self.rows]
        # Right padding: a padded slot is overwritten before any query can see it.
        padded = [([*prompt[:-1]] + [prompt[0]] * width)[:width] for prompt in numbers]
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
        if len(padded) < len(self.rows):
            self.cache.select(torch.tensor(places, device=self.device))

    def scores(self) -> torch.Tensor:
        """Scores of the next action, ``[active rows, vocabulary]``; what must not be sampled at -inf."""
        fed = [row.next_input(self.decoding.context) for row in self.active]
        ids = torch.tensor([[token] for token, _ in fed], device=self.device)
        positions = torch.tensor([[position] for _, position in fed], device=self.device)
        logits = self._logits(ids, positions)
        erasing = self._erasing(logits)
        scores = self._ban(logits)
        if self.processing is not None:
            # Some make finite again what is banned.
            scores = self._ban(self.processing(ids, positions, scores))
        tabu = self.decoding.tabu is not Tabu.OFF or any(row.banned_first for row in self.active)
        may_ban_all = tabu or self.processing is not None
        if may_ban_all and scores.isneginf().all(-1).any():
            raise TraceError(
                "Every token is banned: tabu and the logits processors leave nothing to sample.",
                "Ban less, or sample without tabu.",
            )
        if self._steer is not None:
            scores = self._steered(scores, self._steer)
        held = [(index, row.decided) for index, row in enumerate(self.active) if row.decided is not None]
        for index, decided in (*erasing, *held):
            scores[index] = -torch.inf
            scores[index, decided] = 0.0
        return scores

    def _erasing(self, logits: torch.Tensor) -> list[tuple[int, int]]:
        """Which active rows a signal takes text back in now, with the edit that does it."""
        if self._watched is None or self.decoding.trigger is None:
            return []
        going = [index for index, row in enumerate(self.active) if row.finish is None]
        rows = [(self.active[index].number, self.active[index].policy.state.live_ids) for index in going]
        states = None if self._states is None else self._states[going]
        edits = self._watched.edits_now(rows, logits[going], states)
        return [
            (index, self.decoding.trigger.edit_id) for index, now in zip(going, edits, strict=True) if now
        ]

    def _steered(self, scores: torch.Tensor, steer: Steer) -> torch.Tensor:
        """Leave a single id to sample where an action is decided, in place."""
        for index, row in enumerate(self.active):
            decided = None if row.finish is not None else steer(row.number, row.policy.state.live_ids)
            if decided is not None:
                scores[index] = -torch.inf
                scores[index, decided] = 0.0
        return scores

    def _logits(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        visible = int(positions.max()) + 1
        self.cache.place(positions, visible)
        seen = torch.arange(visible, device=self.device) <= positions
        layer = None if self._watched is None else self._watched.layer
        with self._reading():
            output = self.model(
                input_ids=ids,
                position_ids=positions,
                attention_mask=seen[:, None, None, :],
                past_key_values=self.cache,
                use_cache=True,
                **({} if layer is None else {"output_hidden_states": True}),
            )
        if layer is not None:
            self._states = output.hidden_states[layer][:, -1].to(self.device)
        return output.logits[:, -1].to(self.device, torch.float32)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Read the states that the trunk computes inside the block."""
        if self.read is None:
            yield
            return
        seen: list[torch.Tensor] = []
        hook = self.model.base_model.register_forward_hook(
            lambda *passed: seen.append(passed[-1].last_hidden_state[:, -1])
        )
        try:
            yield
        finally:
            hook.remove()
        for row, value in zip(self.active, self.read(seen[-1]).tolist(), strict=True):
            if len(row.values) <= len(row.ids):  # not fed again behind its last action
                row.values.append(value)

    def _ban(self, scores: torch.Tensor) -> torch.Tensor:
        """Put ids that do not exist, and what the rows' policies ban, at -inf, in place."""
        if self._unknown:
            scores[:, self._unknown] = -torch.inf
        # A token without a row is not sampled anyway.
        pairs = [
            (index, token)
            for index, row in enumerate(self.active)
            for token in row.banned()
            if token < scores.shape[-1]
        ]
        if pairs:
            rows, tokens = zip(*pairs, strict=True)
            scores[list(rows), list(tokens)] = -torch.inf
        return scores

    def apply(self, drawn: Drawn) -> None:
        """Write the sampled actions and drop finished rows when they are half of the batch."""
        count_tokens(sum(row.finish is None for row in self.active))
        for row, token_id, known in zip(self.active, drawn.ids.tolist(), drawn.known(), strict=True):
            if row.finish is None:
                row.push(token_id, known, self.decoding)
        going = [index for index, row in enumerate(self.active) if not self._done(row)]
        if not going or len(going) <= len(self.active) // 2:
            kept = torch.tensor(going, dtype=torch.long, device=self.device)
            self.cache.select(kept)
            if self.processing is not None:
                self.processing.select(kept)
            self.active = [self.active[index] for index in going]

    def _done(self, row: Row) -> bool:
        return row.finish is not None and (self.read is None or len(row.values) > len(row.ids))
