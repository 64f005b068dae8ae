"""Probe by a linear model whether hidden states tell that a text is dead.

The probe is a logistic regression on standardised features with a small ridge, after G. Alain and Y. Bengio,
"Understanding intermediate layers using linear classifier probes" (arXiv 1610.01644).
"""

from collections.abc import Sequence

import torch

from halluc_plugin.errors import MetricError

RIDGE = 1e-2
"""Weight of the squared norm that is added to the mean loss."""
ITERATIONS = 100


class LinearProbe:
    """A linear probe, fitted on some places and applied to others.

    Args:
        features: Hidden states of N places, Float[N, H].
        dead: Whether the text of each place is dead, N of them; both kinds must occur.

    Raises:
        MetricError: One kind is missing, or the lengths differ.
    """

    def __init__(self, features: torch.Tensor, dead: Sequence[bool]) -> None:
        require_two_kinds(features, dead)
        self._mean, self._scale = features.mean(0), features.std(0).clamp_min(1e-6)
        target = torch.tensor([float(value) for value in dead])
        weight = torch.zeros(features.shape[1], requires_grad=True)
        bias = torch.zeros((), requires_grad=True)
        inputs = self._standardised(features)
        fit = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            fit.zero_grad()
            value = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weight + bias, target)
            value = value + RIDGE * weight.square().sum()
            value.backward()
            return value

        fit.step(loss)
        self._weight, self._bias = weight.detach(), bias.detach()

    def _standardised(self, features: torch.Tensor) -> torch.Tensor:
        return (features - self._mean) / self._scale

    def state(self) -> dict[str, torch.Tensor]:
        """Return the tensors that :func:`halluc_plugin.probes.two_layer.dead_share` reads."""
        return {"mean": self._mean, "scale": self._scale, "weight": self._weight, "bias": self._bias}

    def dead(self, features: torch.Tensor) -> list[float]:
        """Return the probability that each text is dead, N numbers.

        Args:
            features: Hidden states, Float[N, H].
        """
        scores: list[float] = (self._standardised(features) @ self._weight + self._bias).sigmoid().tolist()
        return scores


def require_two_kinds(features: torch.Tensor, dead: Sequence[bool]) -> None:
    """Refuse places of one kind, and verdicts that are not one for each place.

    Raises:
        MetricError: One kind is missing, or the lengths differ.
    """
    if len(features) != len(dead) or len(set(dead)) < 2:
        raise MetricError(
            f"{len(features)} hidden states, {sum(dead)} of {len(dead)} dead: nothing to tell apart.",
            "Pass one verdict for each, and both kinds.",
        )
