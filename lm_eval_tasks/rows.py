"""The rows that halluc's tasks report for each pipeline, and their aggregation over documents.

lm_eval passes the values of all documents to an aggregation. Shares of things that a document has many of,
such as tokens and events, are passed as pairs (counted, all): they are ratios of sums, never means of ratios.
"""

import json
import math
from collections import UserList
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.metrics import mean

from halluc_plugin.metrics import (
    Counts,
    JudgedTrace,
    Localisation,
    ProblemSamples,
    Proportion,
    StepEnd,
    counted_discrimination,
    counts_of,
    erased_tokens,
    estimate_pass_at_k,
    event_precision,
    event_recall,
    localisation,
    majority_at_k,
)

Pair = tuple[int, int]
Aggregation = Callable[[Sequence[Any]], float]


@dataclass(frozen=True)
class JudgedAnswers:
    """The answers that one pipeline extracted from all samples of a document, with their scores.

    lm_eval writes it as ``str`` into its samples file: the answer, or JSON of several.

    Attributes:
        answers: The answer extracted from each sample.
        scores: 1 for each right answer, else 0.
        votes: Canonical answer of each sample, None for a sample without one; empty for a single sample.
    """

    answers: tuple[str, ...]
    scores: tuple[float, ...]
    votes: tuple[Hashable | None, ...] = ()

    def __str__(self) -> str:
        return self.answers[0] if len(self.answers) == 1 else json.dumps(self.answers, ensure_ascii=False)

    def rows(self) -> dict[str, float]:
        """Return the accuracy over the samples, pass@k and maj@k."""
        n, right = len(self.scores), sum(score > 0 for score in self.scores)
        accuracy = sum(self.scores) / n
        rows = dict.fromkeys(("exact_match", "exact_match_low", "exact_match_high"), accuracy)
        for k in vote_sizes(n):
            rows[f"pass@{k}"] = estimate_pass_at_k(n, right, k)
            rows[f"maj@{k}"] = majority_at_k(self._ballot(), k)
        return rows

    def _ballot(self) -> ProblemSamples:
        # Equal votes count as their first: a checker of equivalence need not be transitive.
        verdicts: dict[Hashable | None, bool] = {None: False}
        for vote, score in zip(self.votes, self.scores, strict=True):
            verdicts.setdefault(vote, score > 0)
        right = tuple(verdicts[vote] for vote in self.votes)
        return ProblemSamples(self.votes, right, tokens=(0,) * len(self.votes))


class LoggedTraces(UserList[dict[str, Any]]):
    """The traces of all samples of a document: the fields of :class:`lm_eval_tasks.trace.Trace` and verdicts.

    lm_eval writes it as ``str`` into its samples file, since it is not a ``list``: JSON of the trace, or of a
    list of several.
    """

    def __str__(self) -> str:
        return json.dumps(self[0] if len(self) == 1 else self.data, ensure_ascii=False)

    def rows(self) -> dict[str, float | Pair]:
        """Return the rows on edits, flips and costs of the samples."""
        raw = sum(trace["raw_tokens"] for trace in self)
        return {
            "backtracks": self._mean(lambda trace: trace["backtracks"]),
            "backtrack_rate": self._mean(lambda trace: trace["backtracks"] > 0),
            "token_efficiency": (sum(trace["resolved_tokens"] for trace in self), raw),
            "raw_tokens": raw / len(self),
            "tokens_per_solve": (raw, sum(trace["correct"] for trace in self)),
            "flipped_right": self._mean(lambda trace: trace["correct"] and not trace["raw_correct"]),
            "flipped_wrong": self._mean(lambda trace: trace["raw_correct"] and not trace["correct"]),
            "collapse_exact": self._mean(lambda trace: trace["exact"]),
        }

    def _mean(self, count: Callable[[Mapping[str, Any]], float]) -> float:
        return sum(map(count, self)) / len(self)


def event_rows(judged: Sequence[JudgedTrace], places: Sequence[StepEnd]) -> dict[str, Pair | Counts]:
    """Return the rows on a document's backtracks, judged by a prefix oracle.

    Args:
        judged: The judged samples.
        places: The ends of their steps, with the sampled actions there.
    """
    erased, aims = erased_tokens(judged), localisation(judged).shares
    precision, recall = _pair(event_precision(judged)), _pair(event_recall(judged))
    return {
        **dict.fromkeys(("event_precision", "event_precision_low", "event_precision_high"), precision),
        **dict.fromkeys(("event_recall", "event_recall_low", "event_recall_high"), recall),
        "bad_tokens_erased": _pair(erased.bad),
        "good_tokens_erased": _pair(erased.good),
        **{f"localisation_{kind}": _pair(aims[kind]) for kind in Localisation},
        **_step_end_rows(places),
    }


def _step_end_rows(places: Sequence[StepEnd]) -> dict[str, Pair | Counts]:
    counts = counts_of(places)
    return {
        "p_edit_dead": counts[:2],
        "p_edit_live": counts[2:],
        **dict.fromkeys(("d", "d_low", "d_high", "edit_auc"), counts),
    }


def _pair(share: Proportion) -> Pair:
    return (round(share.value * share.n) if share.n else 0, share.n)


def vote_sizes(samples: int) -> list[int]:
    """Return the k of pass@k and maj@k: powers of two, up to the number of samples."""
    return [1 << power for power in range(1, samples.bit_length()) if 1 << power <= samples]


def ratio_of_sums(pairs: Sequence[Pair]) -> float:
    """Return Σ first / Σ second, or 1 if nothing was counted, as then nothing was erased either."""
    whole = sum(second for _, second in pairs)
    return sum(first for first, _ in pairs) / whole if whole else 1.0


def cost_of_one(pairs: Sequence[Pair]) -> float:
    """Return Σ first / Σ second, or infinity if the second sum is 0."""
    whole = sum(second for _, second in pairs)
    return sum(first for first, _ in pairs) / whole if whole else math.inf


def share(pairs: Sequence[Pair]) -> float:
    """Return Σ first / Σ second, or nan if nothing was counted."""
    return _clustered(pairs).value


def share_low(pairs: Sequence[Pair]) -> float:
    """Return the lower 95 % limit of :func:`share`, with each document a cluster."""
    return _clustered(pairs).low


def share_high(pairs: Sequence[Pair]) -> float:
    """Return the upper 95 % limit of :func:`share`, with each document a cluster."""
    return _clustered(pairs).high


def gap(counts: Sequence[Counts]) -> float:
    """Return D, P(edit | dead) minus P(edit | live), or nan if one kind of place is missing."""
    return counted_discrimination(counts).difference.value


def gap_low(counts: Sequence[Counts]) -> float:
    """Return the lower 95 % limit of :func:`gap`, with each document a cluster; -1 if nothing is known."""
    return counted_discrimination(counts).difference.low


def gap_high(counts: Sequence[Counts]) -> float:
    """Return the upper 95 % limit of :func:`gap`, with each document a cluster; 1 if nothing is known."""
    return counted_discrimination(counts).difference.high


def area(counts: Sequence[Counts]) -> float:
    """Return how often a dead place has the larger probability of an edit than a live one.

    For sampled actions it is (1 + D) / 2.
    """
    return counted_discrimination(counts).auc.value


def mean_low(scores: Sequence[float]) -> float:
    """Return the lower 95 % limit of a mean of scores in [0, 1], by Wilson's interval."""
    return Proportion.of_scores(scores).low


def mean_high(scores: Sequence[float]) -> float:
    """Return the upper 95 % limit of a mean of scores in [0, 1], by Wilson's interval."""
    return Proportion.of_scores(scores).high


def _clustered(pairs: Sequence[Pair]) -> Proportion:
    return Proportion.clustered([first for first, _ in pairs], [second for _, second in pairs])


Described = dict[str, tuple[Aggregation, bool | None]]

ANSWER_ROWS: Described = {
    "exact_match": (mean, True),
    "exact_match_low": (mean_low, True),
    "exact_match_high": (mean_high, True),
}
"""Rows of a pipeline of answers: how each is aggregated, and whether higher is better."""

TRACE_ROWS: Described = {
    "backtracks": (mean, None),
    "backtrack_rate": (mean, None),
    "token_efficiency": (ratio_of_sums, True),
    "raw_tokens": (mean, False),
    "tokens_per_solve": (cost_of_one, False),
    "flipped_right": (mean, True),
    "flipped_wrong": (mean, False),
    "collapse_exact": (mean, True),
}
"""Rows of the trace pipeline.

``backtracks`` counts edits that erased something, per answer; ``backtrack_rate`` is the share of answers with
one. ``token_efficiency`` is Σ tokens left / Σ tokens sampled, ``raw_tokens`` the tokens sampled per answer,
``tokens_per_solve`` those of all answers for each right one. ``flipped_right`` is the share of answers that
are wrong raw and right collapsed, ``flipped_wrong`` the reverse. ``collapse_exact`` is the share of answers
whose collapsed text is certain, see :class:`lm_eval_tasks.trace.Trace`.
"""

EVENT_ROWS: Described = {
    "event_precision": (share, True),
    "event_precision_low": (share_low, True),
    "event_precision_high": (share_high, True),
    "event_recall": (share, True),
    "event_recall_low": (share_low, True),
    "event_recall_high": (share_high, True),
    "bad_tokens_erased": (share, True),
    "good_tokens_erased": (share, False),
    "localisation_under": (share, False),
    "localisation_exact": (share, True),
    "localisation_over": (share, False),
    "p_edit_dead": (share, True),
    "p_edit_live": (share, False),
    "d": (gap, True),
    "d_low": (gap_low, True),
    "d_high": (gap_high, True),
    "edit_auc": (area, True),
}
"""Rows of the trace pipeline if there is a prefix oracle, as :mod:`halluc_plugin.metrics` defines them."""


def sample_rows(samples: int) -> Described:
    """Return the rows that several samples of a document add to each pipeline of answers."""
    return {f"{name}@{k}": (mean, True) for k in vote_sizes(samples) for name in ("pass", "maj")}
