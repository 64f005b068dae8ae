"""Value the state after every action of an answer by a scorer of steps that reads token by token.

The scorer is a Q-function reward model: its logit at a token is linear in the Q of that token in its context
(arXiv 2505.23363). Edits lead to a state for certain, so the Q of an action is the logit at the last token
that is live behind it; an edit gets that of the token it came back to.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution

LOGITS = 13.8
"""Largest logit that is told apart: that of a probability one millionth away from 1."""


def written_texts(resolution: "Resolution", row: int) -> list[list[int]]:
    """Return the texts that were live before each event and at the end, each as the columns of its tokens.

    Together they hold every token of text that was ever written, each behind what it was written behind.

    Args:
        resolution: A resolved batch, padded on the right.
        row: Number of the row.
    """
    length = int(resolution.raw_length[row])
    parent, edits = resolution.parent[row].tolist(), resolution.is_edit[row].tolist()
    tips = [at for at in range(length) if not edits[at] and (at + 1 == length or edits[at + 1])]
    texts = []
    for tip in tips:
        columns, at = [], tip
        while at >= 0:
            columns.append(at)
            at = parent[at]
        texts.append(columns[::-1])
    return texts


def action_logits(
    resolution: "Resolution", row: int, texts: Sequence[Sequence[int]], values: Sequence[Sequence[float]]
) -> list[float | None]:
    """Return the logit of the state after each action of a row, None where nothing is live.

    Args:
        resolution: A resolved batch, padded on the right.
        row: Number of the row.
        texts: The columns of :func:`written_texts`.
        values: For each text the value at each of its tokens, in [0, 1].
    """
    length = int(resolution.raw_length[row])
    parent, edits = resolution.parent[row].tolist(), resolution.is_edit[row].tolist()
    live = resolution.live[row, :length].nonzero().flatten().tolist()
    of_token = {
        column: _logit(value)
        for columns, of_text in zip(texts, values, strict=True)
        for column, value in zip(columns, of_text, strict=True)
    }
    found: list[float | None] = []
    for at in range(length):
        last = at if not edits[at] else parent[at + 1] if at + 1 < length else live[-1] if live else -1
        found.append(of_token[last] if last >= 0 else None)
    return found


def _logit(value: float) -> float:
    return float(torch.logit(torch.tensor(value, dtype=torch.float64)).clamp(-LOGITS, LOGITS))
