"""Read the signal of each row of a batch, and leave a single edit to sample where it takes text back."""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from halluc_plugin.decoding.signals import text_signal
from halluc_plugin.decoding.triggers import StateSignal, TextSignal, Trigger, Watch


class Watched:
    """The responses of a batch, by their numbers.

    Args:
        trigger: The settings by which a signal takes text back.
        delimiters: Ids that end a step.
        left_out: Ids that are not text.
    """

    def __init__(self, trigger: Trigger, delimiters: Collection[int], left_out: Collection[int]) -> None:
        self._trigger, self._delimiters, self._left_out = trigger, delimiters, left_out
        self._watches: dict[int, Watch] = {}
        self._states: dict[int, list[torch.Tensor]] = {}

    @property
    def layer(self) -> int | None:
        """The number of the layer whose states are read, None for none."""
        return self._trigger.layer

    def edits_now(
        self, rows: Sequence[tuple[int, Sequence[int]]], logits: torch.Tensor, states: Any
    ) -> list[bool]:
        """Return for each row whether its next action is the edit.

        Args:
            rows: Number and live ids of each of R responses.
            logits: The logits of their next actions, before anything is banned, Float[R, V].
            states: The hidden state of each at its last live token, Float[R, H]; None if none is read.
        """
        trigger = self._trigger
        entropies = [0.0] * len(rows)
        if trigger.gate is not None or trigger.signal is TextSignal.ENTROPY:
            entropies = text_signal(logits, TextSignal.ENTROPY, self._left_out).tolist()
        if trigger.signal is TextSignal.ENTROPY:
            values = entropies
        elif isinstance(trigger.signal, TextSignal):
            values = text_signal(logits, trigger.signal, self._left_out).tolist()
        elif trigger.signal is StateSignal.HEAD:
            values = trigger.head(states).tolist()
        else:
            values = [
                self._shift(number, live, state) for (number, live), state in zip(rows, states, strict=True)
            ]
        return [
            self._watch(number).edit_now(live, value, entropy)
            for (number, live), value, entropy in zip(rows, values, entropies, strict=True)
        ]

    def _watch(self, number: int) -> Watch:
        if number not in self._watches:
            self._watches[number] = Watch(self._trigger, self._delimiters)
        return self._watches[number]

    def _shift(self, number: int, live: Sequence[int], state: torch.Tensor) -> float:
        """Minus the cosine with the state before; the first one is that of the prompt's last token."""
        kept = self._states.setdefault(number, [])
        del kept[len(live) :]
        kept.append(state)
        return shift(kept[-2], kept[-1]).item() if len(kept) > 1 else -1.0


def shift(before: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
    """Return minus the cosine of states, Float[...], with those before them, Float[..., H] each."""
    return -torch.nn.functional.cosine_similarity(before.float(), state.float(), dim=-1)
