"""Fine-tune on raw traces with supervision, masked or unmasked, by the transformers ``Trainer``.

Read in this order: :mod:`.settings` (the settings of a run), :mod:`.dataset` (trace files as batches, with
labels from the edit semantics), :mod:`.weights` (the weights of labels), :mod:`.trainer` (the loss),
:mod:`.fine_tuning` (progress, checkpoints, resuming and TensorBoard), :mod:`.low_rank` with
:mod:`.output_bias` (low-rank updates); :mod:`.matching` with :mod:`.match_settings`, :mod:`.replay` and
:mod:`.own_rows` (SequenceMatch); :mod:`.dagger` with :mod:`.experts` (DAgger); :mod:`.scheduled_sampling`;
:mod:`.preferring` with :mod:`.prefer_settings`, :mod:`.pairs`, :mod:`.reference_sums` and
:mod:`.preference_trainer` (preference losses on pairs); :mod:`.mean_logs` and :mod:`.buffer_saving` (what
trainers of several losses share); :mod:`.attention` (short rows on a CPU).
"""

from typing import TYPE_CHECKING

from halluc_plugin.training.settings import TrainSettings

if TYPE_CHECKING:
    from halluc_plugin.training.fine_tuning import fine_tune
    from halluc_plugin.training.low_rank import fine_tune_low_rank

__all__ = ["TrainSettings", "fine_tune", "fine_tune_low_rank"]

_HOME = {"fine_tune": "fine_tuning", "fine_tune_low_rank": "low_rank"}


def __getattr__(name: str) -> object:
    if name in _HOME:  # these need torch
        from importlib import import_module

        return getattr(import_module(f"halluc_plugin.training.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
