"""Keep recent responses of the model itself, which stand for its current ones."""

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
    """The responses drawn last, each with the step at which it was drawn.

    Args:
        capacity: Largest number of responses; the oldest are dropped first.

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
        """Add responses that were drawn before an optimizer step."""
        self._rows.extend((step, row) for row in rows)

    def draw(self, count: int, rng: np.random.Generator) -> list[TraceRow]:
        """Draw ``count`` responses uniformly, with repetition.

        Raises:
            SettingsError: The buffer is empty.
        """
        if not self._rows:
            raise SettingsError("The replay buffer is empty.", "Draw responses before training on them.")
        return [self._rows[int(index)][1] for index in rng.integers(0, len(self._rows), count)]

    def mean_age(self, step: int) -> float:
        """Return the mean number of optimizer steps since the responses were drawn; nan if there are none."""
        ages = [step - drawn for drawn, _ in self._rows]
        return sum(ages) / len(ages) if ages else float("nan")

    def save(self, folder: Path) -> None:
        """Write the buffer into the folder of a checkpoint."""
        rows = [[step, asdict(row)] for step, row in self._rows]
        write_whole(folder / FILE, json.dumps(rows))

    def load(self, folder: Path) -> None:
        """Read the buffer from the folder of a checkpoint.

        The buffer stays empty if a run was killed before it was saved; responses are then drawn before they
        are needed.
        """
        if not (folder / FILE).exists():
            return
        saved = json.loads((folder / FILE).read_text(encoding="utf-8"))
        self._rows.clear()
        self._rows.extend((step, TraceRow(**row)) for step, row in saved)
