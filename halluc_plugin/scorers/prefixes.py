"""Value prefixes so that each distinct prefix is computed once, whatever reads it.

A reader values prefixes. :class:`PrefixScorer` makes a scorer of steps from it, which remembers the values
and counts what was computed.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import torch

from halluc_plugin.errors import DataError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.driver import Cost
from halluc_plugin.scorers.steps import Spent, Steps, StepScores

REMEMBERED = 1 << 18
"""Number of prefixes whose values are remembered; the oldest are dropped first."""


@dataclass(frozen=True)
class Prefixes:
    """A prompt with a response.

    Attributes:
        ids: Token ids of prompt and response.
        ends: Number of ids of each prefix, strictly ascending: of the prompt, then up to the end of each
            step.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]


class Reader(Protocol):
    """The interface of a reader, which values prefixes."""

    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """Return for each row the value of each of its prefixes, in [0, 1].

        A value may depend only on the ids up to the prefix's end and on where its steps end.
        """
        ...


class PrefixScorer:
    """A scorer of steps that gets its values from a reader.

    Args:
        reader: The reader of prefixes.
        shape: Sizes of the reader's network, for the costs; None for one that computes nothing.
    """

    def __init__(self, reader: Reader, shape: DecoderShape | None) -> None:
        self._reader, self._shape = reader, shape
        self._known: dict[bytes, float] = {}

    def score(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> torch.Tensor:
        """Return only the values of :meth:`rate`, Float[B, S+1]."""
        return self.rate(prompts, steps).values

    def rate(self, prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> StepScores:
        """Return the values of each response's prefixes, and their cost.

        Costs are those of an engine with a prefix cache: a prefix that an earlier row or call has computed is
        free. transformers, which keeps none between calls, computes a row whole if a prefix of it is new.

        Args:
            prompts: Token ids of B prompts.
            steps: Token ids of the steps of a response to each prompt; no steps for the value of the bare
                prompt alone.

        Raises:
            DataError: The numbers of prompts and responses differ, or a prompt or a step is empty.
        """
        rows = prefixes_of(prompts, steps)
        keys = [_keys(row) for row in rows]
        spent, new = self._due(rows, keys)
        found = self._reader.values(list(new.values())) if new else []
        fresh = {
            key: value
            for last, values in zip(new, found, strict=True)
            for key, value in zip(last, values, strict=True)
        }
        values = torch.full((len(rows), max((len(row.ends) for row in rows), default=1)), torch.nan)
        for number, of_row in enumerate(keys):
            read = [fresh[key] if key in fresh else self._known[key] for key in of_row]
            values[number, : len(read)] = torch.tensor(read)
        remember(self._known, fresh)
        return StepScores(values, spent)

    def _due(
        self, rows: Sequence[Prefixes], keys: Sequence[tuple[bytes, ...]]
    ) -> tuple[list[Spent], dict[tuple[bytes, ...], Prefixes]]:
        """What each row costs, and the rows to be read: none that another one begins with."""
        seen: set[bytes] = set()
        spent, new = [], {}
        for row, of_row in zip(rows, keys, strict=True):
            have = 0
            while have < len(of_row) and (of_row[have] in self._known or of_row[have] in seen):
                have += 1
            spent.append(self._cost(row, row.ends[have - 1] if have else 0))
            if not all(key in self._known for key in of_row):
                new[of_row] = row
                seen.update(of_row)
        inner = {key for of_row in new for key in of_row[:-1]}
        return spent, {of_row: row for of_row, row in new.items() if of_row[-1] not in inner}

    def _cost(self, row: Prefixes, computed: int) -> Spent:
        due = len(row.ids) - computed
        if self._shape is None or not due:
            return Spent()
        cost = Cost()
        cost.add(computed, due)
        return Spent(scorer_tokens=due, flops=cost.flops(self._shape))


def remember(known: dict[bytes, float], fresh: Mapping[bytes, float]) -> None:
    """Add values of prefixes to those that are known; the oldest beyond :data:`REMEMBERED` are dropped.

    Args:
        known: The values by the names of their prefixes, which are changed in place.
        fresh: The values to add.
    """
    known.update(fresh)
    for key in list(islice(known, max(0, len(known) - REMEMBERED))):
        del known[key]


def prefixes_of(prompts: Sequence[Sequence[int]], steps: Sequence[Steps]) -> list[Prefixes]:
    """Return prompts and steps as rows of ids.

    Raises:
        DataError: The numbers of prompts and responses differ, or a prompt or a step is empty.
    """
    if len(prompts) != len(steps):
        raise DataError(f"{len(prompts)} prompts for {len(steps)} responses.", "Give a prompt for each.")
    rows = []
    for number, (prompt, of_response) in enumerate(zip(prompts, steps, strict=True)):
        parts = [prompt, *of_response]
        if not all(len(part) for part in parts):
            empty = [len(part) > 0 for part in parts].index(False)
            what = f"Step {empty} of" if empty else "The prompt of"
            raise DataError(f"{what} response {number} is empty.", "Leave the response out.")
        ids = tuple(int(token) for part in parts for token in part)
        lengths = torch.tensor([len(part) for part in parts]).cumsum(0)
        rows.append(Prefixes(ids, tuple(lengths.tolist())))
    return rows


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass, padded on the right.

    Attributes:
        ids: Token ids, Long[N, L].
        mask: 1 at ids and 0 at padding, Long[N, L].
        last: The column in which each prefix ends, padded by the row's last one, Long[N, E].
    """

    ids: torch.Tensor
    mask: torch.Tensor
    last: torch.Tensor


def batches(
    rows: Sequence[Prefixes], model: Any, tokens: int, *, cached: int = 0
) -> Iterator[tuple[Sequence[int], Batch]]:
    """Yield the rows by length, in batches of at most ``tokens`` ids with padding, at least one row each.

    Args:
        rows: The rows.
        model: The model on whose device the batches are made.
        tokens: Largest number of ids in a batch, those of the cache included.
        cached: Number of ids before each row, whose keys and values a pass holds for each row.

    Yields:
        The indices of the rows, and their batch.
    """
    order = sorted(range(len(rows)), key=lambda number: len(rows[number].ids))
    while order:
        count = 1
        while count < len(order) and (count + 1) * (cached + len(rows[order[count]].ids)) <= tokens:
            count += 1
        numbers, order = order[:count], order[count:]
        yield numbers, pad_rows([rows[number] for number in numbers], model.device)


def pad_rows(rows: Sequence[Prefixes], device: Any = None, *, pad_id: int = 0) -> Batch:
    """Return the rows as one batch, in their order.

    Args:
        rows: The rows, at least one.
        device: The device of the batch; None for the CPU.
        pad_id: The id at padding; the mask marks what is padding.
    """
    lengths = [len(row.ids) for row in rows]
    width, ends = max(lengths), max(len(row.ends) for row in rows)
    ids = [[*row.ids, *[pad_id] * (width - len(row.ids))] for row in rows]
    last = [[*row.ends, *[row.ends[-1]] * (ends - len(row.ends))] for row in rows]
    columns = torch.arange(width, device=device)
    return Batch(
        torch.tensor(ids, device=device),
        (columns < torch.tensor(lengths, device=device)[:, None]).long(),
        torch.tensor(last, device=device) - 1,
    )


def _keys(row: Prefixes) -> tuple[bytes, ...]:
    """A name of each prefix: equal for equal ids that are cut alike."""
    keys, state, start = [], hashlib.blake2b(digest_size=16), 0
    for end in row.ends:
        state.update(torch.tensor([end - start, *row.ids[start:end]], dtype=torch.int64).numpy().tobytes())
        keys.append(state.copy().digest())
        start = end
    return tuple(keys)
