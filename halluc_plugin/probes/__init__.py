"""Probes of a model at given contexts: what it would do there, without letting it write.

:mod:`.emission` (does it take back?), :mod:`.negative_learning` (did it learn the errors it was shown?),
:mod:`.gradients` (do errors, edits and corrections pull in one direction?); :mod:`.next_logits` is the
forward pass that they share. All are in soft context.
"""

from halluc_plugin.probes.emission import Emission, Place, edit_discrimination, edit_emission
from halluc_plugin.probes.gradients import GradientCosines, gradient_cosines
from halluc_plugin.probes.negative_learning import negative_learning, span_log_probs

__all__ = [
    "Emission",
    "GradientCosines",
    "Place",
    "edit_discrimination",
    "edit_emission",
    "gradient_cosines",
    "negative_learning",
    "span_log_probs",
]
