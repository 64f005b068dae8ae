"""Search by the beam search of transformers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor

from halluc_plugin.decoding.limits import require_room
from halluc_plugin.sampling.driver import Cost, Found
from halluc_plugin.sampling.networks import log_probs
from halluc_plugin.sampling.states import Response, Space


@torch.no_grad()
def beam_search(model: Any, prompts: Sequence[tuple[int, ...]], space: Space, beams: int) -> list[Found]:
    """Search problems by transformers' beam search, which does not apply edits.

    A beam that an edit token ends is dropped.

    Args:
        model: A causal language model in eval mode.
        prompts: Token ids of the prompts, which are searched one after the other.
        space: The space of the search; its temperature is not used.
        beams: Number of beams.

    Returns:
        The finished beams of each prompt, best first, with the model's own log-prob of each action. Each step
        of beam search computes all beams, and is counted so.

    Raises:
        SettingsError: The model has too few positions for an answer.
    """
    require_room(model.config, prompts, space.max_tokens)
    unknown = space.vocab.unknown_ids(model.config.get_text_config().vocab_size)
    found = []
    for prompt in prompts:
        steps = _StepCounter()
        with _without_own_config(model):
            output = model.generate(
                torch.tensor([prompt], device=model.device),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=model.device),
                generation_config=GenerationConfig(
                    num_beams=beams,
                    num_return_sequences=beams,
                    do_sample=False,
                    max_new_tokens=space.max_tokens,
                    eos_token_id=sorted(space.stop_ids()),
                    pad_token_id=min(space.eos_ids),
                    suppress_tokens=unknown or None,
                ),
                logits_processor=[steps],
            )
        cost = Cost()
        cost.prefill(len(prompt))
        for _ in range(beams):
            cost.add(len(prompt), steps.count)
        responses = []
        for row in output[:, len(prompt) :].tolist():
            length = next((at for at, token in enumerate(row, 1) if token in space.stop_ids()), len(row))
            if row[length - 1] in space.eos_ids:
                ids = tuple(row[:length])
                responses.append(Response(ids, log_probs(model, prompt, ids, space.vocab)))
        found.append(Found(responses, cost))
    return found


@contextmanager
def _without_own_config(model: Any) -> Iterator[None]:
    """Make ``generate`` use only its arguments: a checkpoint's own config fills in any that are missing."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


class _StepCounter(LogitsProcessor):
    """Counts the steps of a generation: those after the last beam that is returned are computed too."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        self.count += 1
        return scores
