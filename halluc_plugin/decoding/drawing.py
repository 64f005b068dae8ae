"""One action for each row of scores, and what was known of it before it was taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

Known = tuple[float, float, float]
"""Log-probability of an action, entropy of its distribution, and probability that it was an edit."""
LOWEST = -1e4
"""Log-probability below which a token adds nothing to an entropy: its probability is 0 in any float."""


@dataclass(frozen=True)
class Drawn:
    """One action for each of R rows.

    Attributes:
        ids: Long[R].
        logprobs: Float[R], log-probability of each under what it was drawn from, in nats.
        entropies: Float[R], entropy of that, in nats.
        edit_probs: Float[R], probability of an edit.
    """

    ids: torch.Tensor
    logprobs: torch.Tensor
    entropies: torch.Tensor
    edit_probs: torch.Tensor

    def known(self) -> Iterator[Known]:
        """What was known of each row's action."""
        return zip(self.logprobs.tolist(), self.entropies.tolist(), self.edit_probs.tolist(), strict=True)


def draw(
    scores: torch.Tensor, temperature: float, edit_ids: Sequence[int], generator: torch.Generator | None
) -> Drawn:
    """Draw from a softmax.

    Args:
        scores: Float[R, V], what must not be drawn at -inf.
        temperature: 0 takes the largest; what is known is then that of temperature 1.
        edit_ids: Which ids edit, below V.
        generator: Source of randomness; torch's default otherwise.
    """
    logprobs = torch.log_softmax(scores / (temperature or 1.0), dim=-1)
    probs = logprobs.exp()
    if temperature == 0:
        ids = scores.argmax(dim=-1)
    else:
        ids = torch.multinomial(probs, 1, generator=generator).squeeze(1)
    taken, edits = logprobs.gather(1, ids[:, None]).squeeze(1), probs[:, list(edit_ids)].sum(-1)
    # What cannot be drawn has probability 0, and 0 * -inf would be no number.
    entropies = -torch.linalg.vecdot(probs, logprobs.clamp_(min=LOWEST))
    return Drawn(ids, taken, entropies.clamp(min=0.0), edits.clamp(max=1.0))
