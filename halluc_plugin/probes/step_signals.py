"""Read a model's signals of a step that it has just finished: likelihood, entropy and hidden state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class FinishedStep:
    """A place where a step has just been finished.

    Attributes:
        context: Token ids of prompt and live response before the step, not empty.
        step: Token ids of the step, not empty.
    """

    context: Sequence[int]
    step: Sequence[int]


@dataclass(frozen=True)
class StepSignals:
    """The signals that were read at N places.

    Attributes:
        surprise: Minus the mean log-probability of a step's tokens, in nats, Float[N].
        entropy: Mean entropy of the distributions that the tokens come from, in nats, Float[N].
        hidden: The last hidden state at a step's last token, Float[N, H].
    """

    surprise: torch.Tensor
    entropy: torch.Tensor
    hidden: torch.Tensor


@torch.no_grad()
def step_signals(model: Any, places: Sequence[FinishedStep], *, batch_size: int = 64) -> StepSignals:
    """Read the signals of finished steps, in soft context of live text.

    Args:
        model: A transformers causal language model in eval mode.
        places: The finished steps, at least one.
        batch_size: Number of places in a forward pass.

    Returns:
        The signals of each place.
    """
    found: dict[int, tuple[float, float, torch.Tensor]] = {}
    lengths = [len(place.context) + len(place.step) for place in places]
    for length in sorted(set(lengths)):
        # Of one length, so that nothing is padded.
        same = [number for number, other in enumerate(lengths) if other == length]
        for start in range(0, len(same), batch_size):
            part = same[start : start + batch_size]
            found.update(zip(part, _read(model, [places[number] for number in part]), strict=True))
    rows = [found[number] for number in range(len(places))]
    return StepSignals(
        torch.tensor([row[0] for row in rows]),
        torch.tensor([row[1] for row in rows]),
        torch.stack([row[2] for row in rows]),
    )


def _read(model: Any, places: Sequence[FinishedStep]) -> list[tuple[float, float, torch.Tensor]]:
    ids = torch.tensor([[*place.context, *place.step] for place in places], device=model.device)
    longest = max(len(place.step) for place in places)
    output = model(input_ids=ids, use_cache=False, output_hidden_states=True, logits_to_keep=longest + 1)
    # The last position predicts what comes behind the step.
    scores = output.logits[:, :-1].float().log_softmax(-1)
    taken = scores.gather(-1, ids[:, -scores.shape[1] :, None]).squeeze(-1)
    entropy = -(scores.exp() * scores).sum(-1)
    hidden = output.hidden_states[-1][:, -1].float().cpu()
    return [
        (
            -float(taken[row, -len(place.step) :].mean()),
            float(entropy[row, -len(place.step) :].mean()),
            hidden[row],
        )
        for row, place in enumerate(places)
    ]
