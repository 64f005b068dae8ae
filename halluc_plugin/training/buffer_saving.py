"""A trainer's callback that saves a buffer of responses with each checkpoint."""

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from halluc_plugin.training.replay import ReplayBuffer


class BufferSaving(TrainerCallback):
    """Saves a buffer next to the weights of each checkpoint, from where a resumed run loads it.

    Args:
        buffer: The buffer.
    """

    def __init__(self, buffer: ReplayBuffer) -> None:
        self._buffer = buffer

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the trainer's interface
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Save the buffer."""
        self._buffer.save(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")
