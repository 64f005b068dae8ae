"""Supervised fine-tuning on raw traces: masked or unmasked, on the transformers ``Trainer``.

:mod:`.settings` says how, :mod:`.dataset` turns trace files into batches with labels from the edit semantics,
:mod:`.fine_tuning` runs it, with progress, checkpoints, resuming and TensorBoard.
"""

from typing import TYPE_CHECKING

from halluc_plugin.training.settings import TrainSettings

if TYPE_CHECKING:
    from halluc_plugin.training.fine_tuning import fine_tune

__all__ = ["TrainSettings", "fine_tune"]


def __getattr__(name: str) -> object:
    if name == "fine_tune":  # needs torch
        from halluc_plugin.training.fine_tuning import fine_tune

        return fine_tune
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
