"""Verifiers: exact judges of answers and, where they exist, of prefixes.

What a verifier is, and what is made of any; those of tasks are in their folders
(:mod:`halluc_plugin.tasks`). Read in this order: :mod:`.base` (the protocols, and :class:`Outcome`),
:mod:`.function` (a scoring function of a host or a user as a verifier), :mod:`.oracle` (a verifier's word on
prefixes, of ids), :mod:`.votes` (when two answers are the same one), :mod:`.unique` and :mod:`.numerals`
(answers that are one number), :mod:`.truths` (ground truths that nothing can be judged by).
"""

from halluc_plugin import moved
from halluc_plugin.verifiers.base import (
    CanonicalVerifier,
    FinalVerifier,
    Outcome,
    PrefixVerifier,
    StepKind,
    Verifier,
)
from halluc_plugin.verifiers.function import (
    VERLS,
    FunctionVerifier,
    load_score,
    read_score,
    scoring,
    scoring_failed,
)
from halluc_plugin.verifiers.oracle import prefix_oracle
from halluc_plugin.verifiers.truths import never_right, unreadable
from halluc_plugin.verifiers.votes import final_vote, whole_vote

__all__ = [
    "VERLS",
    "CanonicalVerifier",
    "FinalVerifier",
    "FunctionVerifier",
    "Outcome",
    "PrefixVerifier",
    "StepKind",
    "Verifier",
    "final_vote",
    "load_score",
    "never_right",
    "prefix_oracle",
    "read_score",
    "scoring",
    "scoring_failed",
    "unreadable",
    "whole_vote",
]

moved.forward(__name__)
