"""Balance and mix value rows: as many right as wrong responses, and files mixed by shares.

OpenReview hJ2BCYGvFg, equation 15: the loss is the sum of its means over right and over wrong trajectories.
Here the surplus is dropped instead of down-weighted (deviation 1), so that any loss sees both alike.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from halluc_plugin.data.json_files import SUFFIXES
from halluc_plugin.data.step_labels import read_step_labels
from halluc_plugin.data.value_files import ValueRow, read_values
from halluc_plugin.errors import DataError, SettingsError


def read_any(
    path: Path, tokenizer: Any, *, step_delimiter: str, template_kwargs: Mapping[str, Any] | None = None
) -> list[ValueRow]:
    """Read a file of values, or published labels as rows of values.

    Args:
        path: The file to read; it holds published labels if its name ends in ``.json`` or ``.jsonl``.
        tokenizer: The tokenizer of the model that will read the ids.
        step_delimiter: Text that ends a step.
        template_kwargs: Further arguments of the chat template, for published labels.

    Raises:
        DataError: The file is refused by :func:`halluc_plugin.data.value_files.read_values` or by
            :func:`halluc_plugin.data.step_labels.read_step_labels`.
        TokenizerError: The tokenizer is refused by :func:`halluc_plugin.data.step_labels.read_step_labels`.
    """
    if path.suffix in SUFFIXES:
        return read_step_labels(
            path, tokenizer, step_delimiter=step_delimiter, template_kwargs=template_kwargs
        )
    return read_values(path, tokenizer, step_delimiter=step_delimiter)


def require_both(rows: Sequence[ValueRow], where: str) -> None:
    """Refuse rows that cannot be balanced.

    Args:
        rows: The rows to check.
        where: Where the rows come from, for the message.

    Raises:
        DataError: All responses are right, or all are wrong.
    """
    right = sum(row.correct for row in rows)
    if right in {0, len(rows)}:
        raise DataError(
            f"All {len(rows)} responses in {where} are {'right' if right else 'wrong'}, so there is nothing "
            "to balance.",
            "Label answers to harder problems (or easier ones), sample more of each, or leave --balance out.",
        )


def balanced(rows: Sequence[ValueRow], seed: int, where: str = "the rows") -> list[ValueRow]:
    """Return as many right as wrong responses, in their order.

    The responses of the more frequent kind that are left out are drawn at random.

    Args:
        rows: The rows to balance.
        seed: Seed of the draw.
        where: Where the rows come from, for the message.

    Raises:
        DataError: All responses are right, or all are wrong.
    """
    require_both(rows, where)
    of_kind = [[i for i, row in enumerate(rows) if row.correct is kind] for kind in (True, False)]
    each = min(map(len, of_kind))
    rng = np.random.default_rng([seed, 8])
    kept = {int(i) for indices in of_kind for i in rng.choice(indices, each, replace=False)}
    return [row for i, row in enumerate(rows) if i in kept]


def mixed(parts: Sequence[Sequence[ValueRow]], weights: Sequence[float], seed: int) -> list[ValueRow]:
    """Return rows of several files in given proportions, as many in all as possible and none twice.

    Args:
        parts: The rows of each file.
        weights: The weight of each file, above 0: 3 and 1 give three rows of the first for each of the
            second.
        seed: Seed of the draw.

    Raises:
        SettingsError: The number of weights is not that of files, a weight is not above 0, or a file gets no
            row.
    """
    if len(weights) != len(parts) or not all(weight > 0 for weight in weights):
        raise SettingsError(
            f"Weights {list(weights)} for {len(parts)} files.", "Give one for each file, above 0."
        )
    unit = min(len(part) / weight for part, weight in zip(parts, weights, strict=True))
    counts = [int(unit * weight + 1e-9) for weight in weights]
    if not all(counts):
        raise SettingsError(
            f"By the weights {list(weights)} no row of one file is left: {counts}.",
            "Give weights that are nearer to each other, or larger files.",
        )
    rng = np.random.default_rng([seed, 9])
    drawn = [
        sorted(rng.choice(len(part), count, replace=False)) for part, count in zip(parts, counts, strict=True)
    ]
    return [part[i] for part, indices in zip(parts, drawn, strict=True) for i in indices]
