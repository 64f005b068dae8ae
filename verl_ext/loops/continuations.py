"""Sample answers from states on the way: what the policy would reach from there without an edit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from halluc_plugin.edits import Context, EditVocab, Resolution
from halluc_plugin.rewards import Marks, states_of
from halluc_plugin.settings import Settings
from halluc_plugin.vllm_engine.request import EditRequest

Generate = Callable[[list[int], dict[str, Any], int], Awaitable[Sequence[int]]]
"""``await generate(prompt_ids, sampling_params, part)`` samples ids; ``part`` counts an answer's, from 1."""


def packed(sampled: Mapping[int, Sequence[Sequence[int]]]) -> dict[int, list[np.ndarray]]:
    """Return the same answers as Int32[T] arrays, a ninth of the memory of Python's integers."""
    return {at: [np.asarray(ids, dtype=np.int32) for ids in answers] for at, answers in sampled.items()}


@dataclass(frozen=True)
class Continuations:
    """Samples from the states of a trace.

    Attributes:
        settings: The settings of the step.
        vocab: The edit vocabulary of the ids.
        marks: The ids that end steps. States after steps are sampled from only if a component that reads them
            has a weight.
        max_tokens: Largest number of raw actions of a whole response.
    """

    settings: Settings
    vocab: EditVocab
    marks: Marks
    max_tokens: int

    async def sample(
        self,
        generate: Generate,
        prompt_ids: Sequence[int],
        ids: Sequence[int],
        resolution: Resolution,
        sampling_params: Mapping[str, Any],
    ) -> dict[int, list[list[int]]]:
        """Sample ``halluc.values.continuations`` answers from each state, one if decoding is greedy.

        In soft context a continuation sees all that the policy saw there, in hard context the live text.

        Args:
            generate: Function that samples from the rollout server.
            prompt_ids: Token ids of the prompt.
            ids: Token ids of the raw trace.
            resolution: The resolution with the trace as its only row.
            sampling_params: The sampling parameters of verl.

        Returns:
            The resolved ids of the answers, by the position of the state (see
            :class:`halluc_plugin.rewards.States`).
        """
        marks = self.marks if self.settings.pays_steps else Marks(ends=self.marks.ends)
        positions = states_of(resolution, 0, marks).positions()
        greedy = float(sampling_params.get("temperature", 1.0)) == 0
        count = 1 if greedy else self.settings.values.continuations  # greedy answers are all the same

        async def answer(part: int, position: int) -> list[int]:
            live = resolution.live_at(0, position)
            seen = live if self.settings.context is Context.HARD else list(ids[:position])
            left = self.max_tokens - position
            if left < 1:
                return live
            params = self._params(sampling_params, left)
            return live + list(await generate([*prompt_ids, *seen], params, part))

        asked = [position for position in positions for _ in range(count)]
        answers = await asyncio.gather(*(answer(*numbered) for numbered in enumerate(asked, start=1)))
        return {at: list(answers[i * count : (i + 1) * count]) for i, at in enumerate(positions)}

    def _params(self, sampling_params: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
        banned = EditRequest(self.vocab, budget=0, context=self.settings.context)
        extra_args = {**(sampling_params.get("extra_args") or {}), **banned.to_extra_args()}
        return {**sampling_params, "logprobs": False, "max_tokens": max_tokens, "extra_args": extra_args}
