"""Compute metrics of backtracking on ids, never on text.

Read in this order: :mod:`.judged` (a trace under a prefix oracle), :mod:`.event_metrics`, :mod:`.erasure` and
:mod:`.retries` (what its backtracks were worth; :mod:`.summary` has them all), :mod:`.event_counts` (answers
by how many they have), :mod:`.discrimination` (whether they come where they should), :mod:`.ranking` (AUROC
and average precision), :mod:`.reactions` (to labelled steps), :mod:`.correction`, :mod:`.repeated_samples`,
:mod:`.step_values` (of scorers of steps), :mod:`.efficiency`, :mod:`.compute`, :mod:`.degeneracy`,
:mod:`.intervals` (:mod:`.means` of what has no bounds).

Every share comes with its n and a 95 % interval.
"""

from halluc_plugin import moved
from halluc_plugin.metrics.compute import DecoderShape, area_under_accuracy, hard_flops, soft_flops
from halluc_plugin.metrics.correction import Correction, correction
from halluc_plugin.metrics.degeneracy import reward_degeneracy
from halluc_plugin.metrics.discrimination import (
    Counts,
    Discrimination,
    StepEnd,
    counted_discrimination,
    counts_of,
    discrimination,
    step_ends,
)
from halluc_plugin.metrics.efficiency import (
    TokenEfficiency,
    TokensPerSolve,
    accuracy_at_budget,
    token_efficiency,
    tokens_per_solve,
)
from halluc_plugin.metrics.erasure import ErasedShares, erased_steps, erased_tokens, specificity
from halluc_plugin.metrics.event_counts import EventCount, right_by_events
from halluc_plugin.metrics.event_metrics import (
    Latency,
    Localisation,
    LocalisationShares,
    event_precision,
    event_recall,
    latency,
    localisation,
)
from halluc_plugin.metrics.intervals import (
    Difference,
    McNemar,
    Proportion,
    Ratio,
    mcnemar,
    paired_difference,
    unpaired_difference,
    unpaired_ratio,
    wilson,
)
from halluc_plugin.metrics.judged import JudgedTrace, PrefixOracle, judge_ids, judge_traces
from halluc_plugin.metrics.reactions import JudgedReaction, LabelledSteps, Reaction, judge_reaction
from halluc_plugin.metrics.repeated_samples import (
    ComputeMatchedGain,
    ProblemSamples,
    compute_matched_gain,
    estimate_pass_at_k,
    maj_at_k,
    majority_at_k,
    pass_at_k,
)
from halluc_plugin.metrics.retries import (
    next_token_ok,
    repeat_rate,
    retry_diversity,
    stutter_rate,
    success_after_backtrack,
    tries_by_state,
)
from halluc_plugin.metrics.step_values import (
    ScoredResponse,
    StepValueQuality,
    first_error_f1,
    step_value_quality,
)
from halluc_plugin.metrics.summary import EventSummary, summarise_events

__all__ = [
    "ComputeMatchedGain",
    "Correction",
    "Counts",
    "DecoderShape",
    "Difference",
    "Discrimination",
    "ErasedShares",
    "EventCount",
    "EventSummary",
    "JudgedReaction",
    "JudgedTrace",
    "LabelledSteps",
    "Latency",
    "Localisation",
    "LocalisationShares",
    "McNemar",
    "PrefixOracle",
    "ProblemSamples",
    "Proportion",
    "Ratio",
    "Reaction",
    "ScoredResponse",
    "StepEnd",
    "StepValueQuality",
    "TokenEfficiency",
    "TokensPerSolve",
    "accuracy_at_budget",
    "area_under_accuracy",
    "compute_matched_gain",
    "correction",
    "counted_discrimination",
    "counts_of",
    "discrimination",
    "erased_steps",
    "erased_tokens",
    "estimate_pass_at_k",
    "event_precision",
    "event_recall",
    "first_error_f1",
    "hard_flops",
    "judge_ids",
    "judge_reaction",
    "judge_traces",
    "latency",
    "localisation",
    "maj_at_k",
    "majority_at_k",
    "mcnemar",
    "next_token_ok",
    "paired_difference",
    "pass_at_k",
    "repeat_rate",
    "retry_diversity",
    "reward_degeneracy",
    "right_by_events",
    "soft_flops",
    "specificity",
    "step_ends",
    "step_value_quality",
    "stutter_rate",
    "success_after_backtrack",
    "summarise_events",
    "token_efficiency",
    "tokens_per_solve",
    "tries_by_state",
    "unpaired_difference",
    "unpaired_ratio",
    "wilson",
]

moved.forward(__name__)
