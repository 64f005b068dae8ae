"""Judge answers exactly and, where possible, prefixes of answers.

The package has the interface of verifiers and what is built on it; the verifiers of tasks are in their
folders (:mod:`halluc_plugin.tasks`). Read in this order: :mod:`.base` (the protocols, and :class:`Outcome`),
:mod:`.function` (a scoring function of a host or a user as a verifier), :mod:`.erring` (a judge that errs),
:mod:`.continued` (answers whose beginning is given), :mod:`.oracle` (a verifier of prefixes as a function of
ids), :mod:`.votes` (whether two answers count as the same), :mod:`.unique` and :mod:`.numerals` (answers that
are one number), :mod:`.truths` (ground truths by which nothing can be judged).
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
from halluc_plugin.verifiers.erring import ErringVerifier
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
    "ErringVerifier",
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
