"""Probe what a model would do in given contexts, without letting it write.

:mod:`.emission` (does it take back?), :mod:`.negative_learning` (did it learn the errors it was shown?),
:mod:`.gradients` (do errors, edits and corrections pull in one direction?), :mod:`.step_signals` (how likely,
and how certain, was a finished step?), :mod:`.linear` and :mod:`.two_layer` (is it written in hidden states
that a text is dead?), :mod:`.token_signals` (what is told at each token?), :mod:`.eigen_score` (do answers
differ inside?); :mod:`.next_logits` is the forward pass that most share. All are in soft context.
"""

from halluc_plugin.probes.emission import Emission, Place, edit_discrimination, edit_emission
from halluc_plugin.probes.gradients import GradientCosines, gradient_cosines
from halluc_plugin.probes.linear import LinearProbe
from halluc_plugin.probes.negative_learning import negative_learning, span_log_probs
from halluc_plugin.probes.step_signals import FinishedStep, StepSignals, step_signals

__all__ = [
    "Emission",
    "FinishedStep",
    "GradientCosines",
    "LinearProbe",
    "Place",
    "StepSignals",
    "edit_discrimination",
    "edit_emission",
    "gradient_cosines",
    "negative_learning",
    "span_log_probs",
    "step_signals",
]
