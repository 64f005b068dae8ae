"""Count the cost of decoding in FLOPs, with and without the erased tokens in context."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from halluc_plugin.errors import MetricError

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of a decoder-only transformer with a gated MLP.

    Attributes:
        hidden: Width h of the residual stream.
        kv: Width of keys (and of values) over all key-value heads.
        intermediate: Width i of the MLP.
        layers: Number of layers L.
    """

    hidden: int
    kv: int
    intermediate: int
    layers: int

    def flops(self, tokens: int, context: int) -> int:
        """Return the cost of ``tokens`` forward slots that attend to ``context`` positions in total.

        L [(2h² + 2h kv + 3h i) tokens + h context], the count of T. Qin et al., "To Backtrack or Not to
        Backtrack" (arXiv 2504.07052), where context is T (T + 1) / 2. Embeddings and the output head are left
        out, as in that count.
        """
        h = self.hidden
        per_token = 2 * h * h + 2 * h * self.kv + 3 * h * self.intermediate
        return self.layers * (per_token * tokens + h * context)


def soft_flops(resolution: "Resolution", prompt_lengths: Sequence[int], shape: DecoderShape) -> list[int]:
    """Return the FLOPs of each row if erased tokens and edits stay in context.

    Every forward slot sees all tokens before it.

    Args:
        resolution: Resolved batch of B rows.
        prompt_lengths: Number of tokens of each of the B prompts; their forward slots are counted.
        shape: Sizes of the model.

    Returns:
        The forward FLOPs of each row, B of them.

    Raises:
        MetricError: The number of lengths is not the number of rows.
    """
    totals = [p + r for p, r in _rows(resolution, prompt_lengths)]
    return [shape.flops(total, total * (total + 1) // 2) for total in totals]


def hard_flops(resolution: "Resolution", prompt_lengths: Sequence[int], shape: DecoderShape) -> list[int]:
    """Return the FLOPs of each row if the context is rewound: a slot sees the prompt, live tokens and itself.

    Every action takes one slot, as in soft context, and nothing is recomputed. Arguments and result are those
    of :func:`soft_flops`.
    """
    live = (resolution.depth * resolution.valid).sum(-1).tolist()
    rows = _rows(resolution, prompt_lengths)
    return [
        shape.flops(prompt + raw, prompt * (prompt + 1) // 2 + (prompt + 1) * raw + depths)
        for (prompt, raw), depths in zip(rows, live, strict=True)
    ]


def _rows(resolution: "Resolution", prompt_lengths: Sequence[int]) -> list[tuple[int, int]]:
    raw = resolution.raw_length.tolist()
    if len(raw) != len(prompt_lengths):
        raise MetricError(
            f"{len(prompt_lengths)} prompt lengths for {len(raw)} rows.", "Pass one length for each row."
        )
    return list(zip(prompt_lengths, raw, strict=True))


def area_under_accuracy(flops: Sequence[float], accuracy: Sequence[float]) -> float:
    """Return the mean accuracy over a range of compute, on a logarithmic scale.

    This is the area under accuracy against log FLOPs by the trapezoidal rule, divided by the width of the
    range. Only curves over the same range are comparable.

    Args:
        flops: At least two costs, strictly ascending and positive.
        accuracy: Accuracy at each cost.

    Raises:
        MetricError: Lengths differ, there are fewer than two points, or costs do not ascend from above 0.
    """
    x, y = np.asarray(flops, dtype=np.float64), np.asarray(accuracy, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise MetricError(f"{x.shape} costs, {y.shape} accuracies.", "Pass two or more points of a curve.")
    if x[0] <= 0 or (np.diff(x) <= 0).any():
        raise MetricError("Costs do not ascend from above 0.", "Sort the points by cost, without duplicates.")
    log_x = np.log(x)
    return float(np.sum(np.diff(log_x) * (y[1:] + y[:-1]) / 2) / (log_x[-1] - log_x[0]))
