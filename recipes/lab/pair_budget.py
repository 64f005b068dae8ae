"""Train on pairs with a given number of tokens, the reference's reading of them included."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.pair_files import PairRow, read_pairs, write_pairs

READ_ONCE = 0.25
"""Largest share of the tokens that the reference reads, each pair once."""


@dataclass(frozen=True)
class PairBudget:
    """What training on pairs takes.

    Attributes:
        path: The file of the pairs.
        steps: Number of optimizer steps.
        trained: Ids that go through models: those of the steps, and each pair once through the reference.
    """

    path: Path
    steps: int
    trained: float


def pair_budget(path: Path, tokenizer: Any, tokens: float, batch_size: int, seed: int) -> PairBudget:
    """Return how far so many tokens go on the pairs of a file.

    If reading all of them once took more than a quarter of the tokens, some are drawn and kept in a file next
    to it.

    Args:
        path: The file.
        tokenizer: The tokenizer of its ids.
        tokens: Ids that may go through models; at least one step is made.
        batch_size: Pairs of a step.
        seed: Seed of the draw.
    """
    rows = read_pairs(path, tokenizer)
    kept = max(1, min(len(rows), int(READ_ONCE * tokens * len(rows) / _ids(rows))))
    if kept < len(rows):
        chosen = np.random.default_rng([seed, 45]).choice(len(rows), kept, replace=False)
        rows = [rows[index] for index in sorted(chosen.tolist())]
        path = path.with_name(f"{path.stem}-{kept}.parquet")
        if not path.exists():
            write_pairs(path, rows, tokenizer)
    return of_steps(path, rows, batch_size, max(1, round((tokens - _ids(rows)) / _each(rows, batch_size))))


def of_steps(path: Path, rows: list[PairRow], batch_size: int, steps: int) -> PairBudget:
    """Return what so many steps on the pairs of a file take.

    Args:
        path: The file.
        rows: Its pairs.
        batch_size: Pairs of a step.
        steps: Number of optimizer steps.
    """
    return PairBudget(path, steps, steps * _each(rows, batch_size) + _ids(rows))


def _ids(rows: list[PairRow]) -> int:
    """Number of ids of all pairs, the prompt once for each side."""
    return sum(len(side.prompt_ids) + len(side.response_ids) for row in rows for side in row.sides)


def _each(rows: list[PairRow], batch_size: int) -> float:
    return batch_size * _ids(rows) / len(rows)
