"""Measure how much the answers of a model differ inside it: the EigenScore of INSIDE, with feature clipping.

C. Chen et al., "INSIDE: LLMs' Internal States Retain the Power of Hallucination Detection" (arXiv
2402.03744). The equations are written from memory of the paper and as other implementations cite them.
"""

import torch

from halluc_plugin.errors import MetricError

ALPHA = 1e-3
"""Weight of the identity that keeps the covariance of full rank, as in the paper."""
CLIPPED = 0.002
"""Share of the largest and of the smallest features that are clipped, as in the paper."""


def eigen_score(embeddings: torch.Tensor, alpha: float = ALPHA) -> float:
    """Return (1/K) log det(Z J Z' + αI), large where the answers differ.

    Z has the embedding of an answer in each row, and J = I - 11'/H takes the mean over the features from each
    of them, as in the paper.

    Args:
        embeddings: A hidden state of each of K answers, Float[K, H].
        alpha: Weight of the identity, above 0.

    Raises:
        MetricError: There are fewer than two answers.
    """
    answers = len(embeddings)
    if answers < 2:
        raise MetricError(
            f"The EigenScore compares answers, and there are {answers}.", "Give 2 or more (--continuations)."
        )
    rows = embeddings.double()
    rows = rows - rows.mean(1, keepdim=True)
    covariance = rows @ rows.T + alpha * torch.eye(answers, dtype=torch.float64)
    return float(torch.linalg.slogdet(covariance).logabsdet) / answers


def clip_features(embeddings: torch.Tensor, bank: torch.Tensor, share: float = CLIPPED) -> torch.Tensor:
    """Return embeddings whose extreme features are cut to what is usual, Float[K, H].

    The paper clips the activations of the penultimate layer while the answers are sampled; here the
    embeddings that are compared are clipped.

    Args:
        embeddings: Hidden states, Float[K, H].
        bank: Hidden states of other texts, whose quantiles are the limits of each feature, Float[N, H].
        share: Share of the bank above the upper limit, and below the lower one, in [0, 0.5).

    Raises:
        MetricError: The bank is empty.
    """
    if not len(bank):
        raise MetricError("There are no states that say which features are usual.", "Give some texts.")
    limits = torch.tensor([share, 1 - share], dtype=bank.dtype)
    low, high = torch.quantile(bank, limits, dim=0)
    return embeddings.clamp(min=low, max=high)
