"""Responses of the model itself, kept while they are fresh enough to stand for it."""

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.errors import SettingsError

FILE = "replay.json"


class ReplayBuffer:
    """The last responses drawn, each with the step at which it was.

    Args:
        capacity: Most responses; the oldest leave first.

    Raises:
        SettingsError: The capacity is below 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise SettingsError(f"The replay buffer's capacity is {capacity}.", "Give at least 1.")
        self._rows: deque[tuple[int, TraceRow]] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Sequence[TraceRow], step: int) -> None:
        """Keep responses that were drawn before an optimizer step."""
        self._rows.extend((step, row) for row in rows)

    def draw(self, count: int, rng: np.random.Generator) -> list[TraceRow]:
        """So many of them, uniformly, with repetition.

        Raises:
            SettingsError: There are none.
        """
        if not self._rows:
            raise SettingsError("The replay buffer is empty.", "Draw responses before training on them.")
        return [self._rows[int(index)][1] for index in rng.integers(0, len(self._rows), count)]

    def mean_age(self, step: int) -> float:
        """Optimizer steps since they were drawn, on average; nan where there are none."""
        ages = [step - drawn for drawn, _ in self._rows]
        return sum(ages) / len(ages) if ages else float("nan")

    def save(self, folder: Path) -> None:
        """Write the buffer beside a checkpoint."""
        rows = [[step, asdict(row)] for step, row in self._rows]
        write_whole(folder / FILE, json.dumps(rows))

    def load(self, folder: Path) -> None:
        """Take over what was saved beside a checkpoint.

        Nothing where a run was killed between the two: responses are drawn before they are needed.
        """
        if not (folder / FILE).exists():
            return
        saved = json.loads((folder / FILE).read_text(encoding="utf-8"))
        self._rows.clear()
        self._rows.extend((step, TraceRow(**row)) for step, row in saved)
