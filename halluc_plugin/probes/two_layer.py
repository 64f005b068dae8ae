"""Probe by a network of two layers whether hidden states tell that a text is dead."""

from collections.abc import Mapping, Sequence

import torch

from halluc_plugin.probes.linear import LinearProbe, require_two_kinds

WIDTH = 64
"""Number of hidden units."""
STEPS = 300
DECAY = 1e-2
"""Weight decay of AdamW."""


class TwoLayerProbe:
    """A network of one hidden layer, fitted on some places and applied to others.

    It is fitted on all places at once by AdamW, after the features are standardised.

    Args:
        features: Hidden states of N places, Float[N, H].
        dead: Whether the text of each place is dead, N of them; both kinds must occur.
        seed: Seed of the first weights.

    Raises:
        MetricError: One kind is missing, or the lengths differ.
    """

    def __init__(self, features: torch.Tensor, dead: Sequence[bool], *, seed: int = 0) -> None:
        require_two_kinds(features, dead)
        mean, scale = features.mean(0), features.std(0).clamp_min(1e-6)
        inputs, target = (features - mean) / scale, torch.tensor([float(value) for value in dead])
        generator = torch.Generator().manual_seed(seed)
        inner = torch.randn(features.shape[1], WIDTH, generator=generator) / features.shape[1] ** 0.5
        outer = torch.randn(WIDTH, generator=generator) / WIDTH**0.5
        weights = [inner, torch.zeros(WIDTH), outer, torch.zeros(())]
        for weight in weights:
            weight.requires_grad_()
        fit = torch.optim.AdamW(weights, lr=1e-2, weight_decay=DECAY)
        for _ in range(STEPS):
            fit.zero_grad()
            scores = (inputs @ weights[0] + weights[1]).relu() @ weights[2] + weights[3]
            torch.nn.functional.binary_cross_entropy_with_logits(scores, target).backward()
            fit.step()
        names = ("inner_weight", "inner_bias", "weight", "bias")
        found = {name: weight.detach() for name, weight in zip(names, weights, strict=True)}
        self._state = {"mean": mean, "scale": scale, **found}

    def state(self) -> dict[str, torch.Tensor]:
        """Return the tensors that :func:`dead_share` reads."""
        return dict(self._state)

    def dead(self, features: torch.Tensor) -> list[float]:
        """Return the probability that each text is dead, N numbers.

        Args:
            features: Hidden states, Float[N, H].
        """
        scores: list[float] = dead_share(self._state, features).tolist()
        return scores


def dead_share(state: Mapping[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
    """Return the probability that each text is dead, Float[N], by the tensors of a fitted head.

    Args:
        state: The tensors of a :class:`TwoLayerProbe` or :class:`halluc_plugin.probes.LinearProbe`.
        features: Hidden states, Float[N, H], on the device of the tensors.
    """
    inputs = (features.to(state["mean"]) - state["mean"]) / state["scale"]
    if "inner_weight" in state:
        inputs = (inputs @ state["inner_weight"] + state["inner_bias"]).relu()
    return (inputs @ state["weight"] + state["bias"]).sigmoid()


Head = LinearProbe | TwoLayerProbe
"""A head that is fitted on hidden states."""
