"""Draw one action for each row of scores, and report the distribution it was drawn from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

Known = tuple[float, float, float]
"""Log-probability of an action, entropy of its distribution, and probability that it was an edit."""
LOWEST = -1e4
"""Log-probability below which a token adds nothing to an entropy: its probability is 0 in any float."""


@dataclass(frozen=True)
class Drawn:
    """One drawn action for each of R rows.

    Attributes:
        ids: The drawn ids, Long[R].
        logprobs: Log-probability of each id under the distribution it was drawn from, in nats, Float[R].
        entropies: Entropy of that distribution, in nats, Float[R].
        edit_probs: Probability of an edit under that distribution, Float[R].
    """

    ids: torch.Tensor
    logprobs: torch.Tensor
    entropies: torch.Tensor
    edit_probs: torch.Tensor

    def known(self) -> Iterator[Known]:
        """Yield what was known of each row's action before it was taken."""
        return zip(self.logprobs.tolist(), self.entropies.tolist(), self.edit_probs.tolist(), strict=True)


def draw(
    scores: torch.Tensor, temperature: float, edit_ids: Sequence[int], generator: torch.Generator | None
) -> Drawn:
    """Draw one id for each row from a softmax.

    Args:
        scores: Scores of the next token, Float[R, V], -inf for ids that must not be drawn.
        temperature: Sampling temperature. 0 takes the id with the largest score, and reports the distribution
            at temperature 1.
        edit_ids: The ids of edit tokens, all below V.
        generator: The source of randomness; None for torch's default.

    Returns:
        The drawn ids, with their log-probabilities, entropies and edit probabilities.
    """
    logprobs = torch.log_softmax(scores if temperature in {0, 1} else scores / temperature, dim=-1)
    probs = logprobs.exp()
    if temperature == 0:
        ids = scores.argmax(dim=-1)
    else:
        ids = torch.multinomial(probs, 1, generator=generator).squeeze(1)
    taken, edits = logprobs.gather(1, ids[:, None]).squeeze(1), probs[:, list(edit_ids)].sum(-1)
    # What cannot be drawn has probability 0, and 0 * -inf would be no number.
    entropies = -torch.linalg.vecdot(probs, logprobs.clamp_(min=LOWEST))
    return Drawn(ids, taken, entropies.clamp(min=0.0), edits.clamp(max=1.0))
