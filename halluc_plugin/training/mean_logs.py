"""A transformers trainer that logs means of what its loss notes."""

from collections import defaultdict
from typing import Any

from transformers import Trainer


class MeanLogsTrainer(Trainer):
    """The transformers trainer, which also logs the means of what was noted since the last log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seen: defaultdict[str, list[float]] = defaultdict(list)

    def note(self, **values: float) -> None:
        """Note numbers of a forward pass by name."""
        for name, value in values.items():
            self._seen[name].append(float(value))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log also the means of what was noted, with each loss."""
        if "loss" in logs:
            logs = {**logs, **{name: sum(values) / len(values) for name, values in self._seen.items()}}
            self._seen.clear()
        super().log(logs, *args, **kwargs)
