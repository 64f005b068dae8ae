"""Compute metrics of several samples for each problem: pass@k, maj@k, and the gain at equal compute."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics.intervals import Difference, Proportion, paired_difference


@dataclass(frozen=True)
class ProblemSamples:
    """All samples of one problem.

    Args:
        answers: Canonical answer of each sample ("0.5" and "1/2" must have become one value); None for a
            sample without an answer.
        correct: Whether each sample is right. Equal answers must be equally right.
        tokens: Raw length of each sample in tokens, edit and erased tokens included.

    Raises:
        MetricError: Lengths differ, there are no samples, a verdict is not a boolean, an absent answer is
            right, or equal answers differ in correctness.
    """

    answers: tuple[Hashable | None, ...]
    correct: tuple[bool, ...]
    tokens: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("answers", "correct", "tokens"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not len(self.answers) == len(self.correct) == len(self.tokens) > 0:
            raise MetricError(
                f"{len(self.answers)} answers, {len(self.correct)} verdicts, {len(self.tokens)} lengths.",
                "Pass at least one sample, and one of each for every sample.",
            )
        if any(not isinstance(verdict, bool | np.bool_) for verdict in self.correct):
            raise MetricError(
                "A verdict is not a boolean.", "Pass `outcome is Outcome.CORRECT`, not the outcome."
            )
        verdicts: dict[Hashable | None, bool] = {None: False}
        for answer, verdict in zip(self.answers, self.correct, strict=True):
            if verdicts.setdefault(answer, verdict) != verdict:
                raise MetricError(
                    f"Answer {answer!r} is right in one sample and wrong in another (None is always wrong).",
                    "Canonicalise answers, and judge the canonical answer.",
                )

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def accuracy(self) -> float:
        """The share of right samples."""
        return sum(self.correct) / len(self)


def estimate_pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from ``c`` right samples of ``n``.

    pass@k is the probability that at least one of ``k`` samples is right. The estimate is 1 - C(n-c, k) /
    C(n, k) in the product form that neither overflows nor underflows: M. Chen et al., "Evaluating Large
    Language Models Trained on Code" (arXiv 2107.03374), figure 3. For a small variance take n >= 2k.

    Raises:
        MetricError: The numbers do not satisfy 1 <= k <= n and 0 <= c <= n.
    """
    _check_k(n, k)
    if not 0 <= c <= n:
        raise MetricError(f"{c} right samples of {n}.", "Pass 0 <= c <= n.")
    if n - c < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - c + 1, n + 1))


def pass_at_k(problems: Sequence[ProblemSamples], k: int) -> Proportion:
    """Return the mean over problems of :func:`estimate_pass_at_k`, with an interval."""
    return Proportion.of_scores([estimate_pass_at_k(len(p), sum(p.correct), k) for p in problems])


def majority_at_k(problem: ProblemSamples, k: int) -> float:
    """Return the expected accuracy of a majority vote among ``k`` of a problem's samples.

    The expectation is over all C(n, k) subsets and exact to rounding for every n: no subsets are drawn. A
    sample without an answer abstains, answers tied for first share the vote evenly, and a subset that
    abstains altogether is wrong. (lm-eval votes among the first k samples only, lets the first-seen of tied
    answers win, and lets an absent answer win too.)

    It is computed as follows: the counts of the answers in a random subset are independent binomials
    conditioned on their sum. For each right answer and each count j it may win with, a recursion over the
    answers that could tie gives the probability of j with t ties; all others are one binomial.

    Args:
        problem: The n samples of one problem.
        k: Number of samples that vote.

    Raises:
        MetricError: The number k does not satisfy 1 <= k <= n.
    """
    n = len(problem)
    _check_k(n, k)
    counts = Counter(answer for answer in problem.answers if answer is not None)
    right = {answer for answer, verdict in zip(problem.answers, problem.correct, strict=True) if verdict}
    wins = 0.0
    for answer in right:
        own = _binomial(counts[answer], k / n)
        rivals = [_binomial(count, k / n) for other, count in counts.items() if other != answer]
        for votes in range(1, min(k, counts[answer]) + 1):
            wins += own[votes] * _share_of_win(rivals, n - counts[answer], votes, k - votes, k / n)
    # Rounding can leave a certain win a hair above 1.
    return min(1.0, float(wins / _binomial(n, k / n)[k]))


def _share_of_win(
    rivals: Sequence[npt.NDArray[np.float64]], others: int, votes: int, rest: int, q: float
) -> float:
    """Sum of P(draws) / (1 + ties) over the ways to draw ``rest`` of ``others`` without beating ``votes``."""
    strong = [chances for chances in rivals if len(chances) > votes]
    # weight[size, ties]: probability that the strong rivals took `size` draws and `ties` of them tie.
    weight = np.zeros((rest + 1, rest // votes + 1))
    weight[0, 0] = 1.0
    for chances in strong:
        updated = np.zeros_like(weight)
        for taken in range(min(votes - 1, rest) + 1):
            updated[taken:] += chances[taken] * weight[: rest + 1 - taken]
        if votes <= rest:
            updated[votes:, 1:] += chances[votes] * weight[: rest + 1 - votes, :-1]
        weight = updated
    # Rivals with fewer samples than `votes` cannot tie, and abstentions never win: any draws will do.
    harmless = _binomial(others - sum(len(chances) - 1 for chances in strong), q)
    taken_by_strong = weight @ (1.0 / np.arange(1, weight.shape[1] + 1))
    fewest = max(0, rest + 1 - len(harmless))
    return float(np.dot(taken_by_strong[fewest:], harmless[rest - fewest :: -1]))


def _binomial(n: int, q: float) -> npt.NDArray[np.float64]:
    """Probabilities of 0..n successes in n trials."""
    if q == 1.0:
        return np.eye(n + 1)[n]
    log_q, log_rest = math.log(q), math.log1p(-q)
    top = math.lgamma(n + 1)
    return np.array(
        [
            math.exp(top - math.lgamma(x + 1) - math.lgamma(n - x + 1) + x * log_q + (n - x) * log_rest)
            for x in range(n + 1)
        ]
    )


def maj_at_k(problems: Sequence[ProblemSamples], k: int) -> Proportion:
    """Return the mean over problems of :func:`majority_at_k`, with an interval."""
    return Proportion.of_scores([majority_at_k(problem, k) for problem in problems])


@dataclass(frozen=True)
class ComputeMatchedGain:
    """Accuracy gained over a majority vote of the baseline that spends the same number of tokens.

    Attributes:
        gain: Accuracy of the method minus ``baseline``, paired by problem. Its interval treats the mean
            numbers of tokens, and with them ``k``, as given.
        method: Accuracy of a single sample of the method.
        baseline: Accuracy of the baseline at ``k`` samples.
        k: Number of baseline samples that cost as much as one of the method. Below 1 the baseline is given
            one whole sample, which favours it.
        mean_tokens: Mean number of raw tokens of one sample of the method.
        baseline_mean_tokens: Mean number of raw tokens of one sample of the baseline.
    """

    gain: Difference
    method: Proportion
    baseline: Proportion
    k: float
    mean_tokens: float
    baseline_mean_tokens: float


def compute_matched_gain(
    method: Sequence[ProblemSamples], baseline: Sequence[ProblemSamples]
) -> ComputeMatchedGain:
    """Compare a method with self-consistency of its baseline at equal tokens.

    k = mean raw tokens of the method / mean raw tokens of the baseline; between maj@⌊k⌋ and maj@⌈k⌉ the
    baseline's accuracy is interpolated linearly.

    Args:
        method: Samples of the method; several for one problem are averaged.
        baseline: Samples of the baseline on the same problems in the same order, at least ⌈k⌉ for each.

    Raises:
        MetricError: The problems differ in number, there are none, a side has no tokens, or ⌈k⌉ exceeds a
            baseline's samples.
    """
    if len(method) != len(baseline) or not method:
        raise MetricError(
            f"{len(method)} problems against {len(baseline)}.",
            "Pass the same problems, at least one, in one order.",
        )
    cost, baseline_cost = _mean_tokens(method), _mean_tokens(baseline)
    k = cost / baseline_cost
    votes = [_interpolated_majority(problem, max(1.0, k)) for problem in baseline]
    scores = [problem.accuracy for problem in method]
    return ComputeMatchedGain(
        gain=paired_difference(scores, votes),
        method=Proportion.of_scores(scores),
        baseline=Proportion.of_scores(votes),
        k=k,
        mean_tokens=cost,
        baseline_mean_tokens=baseline_cost,
    )


def _mean_tokens(problems: Sequence[ProblemSamples]) -> float:
    mean = float(np.mean(list(chain.from_iterable(problem.tokens for problem in problems))))
    if mean <= 0:
        raise MetricError("A side has written no tokens.", "Pass raw lengths; EOS counts as a token.")
    return mean


def _interpolated_majority(problem: ProblemSamples, k: float) -> float:
    low = math.floor(k)
    at_low = majority_at_k(problem, low)
    return at_low if low == k else at_low + (k - low) * (majority_at_k(problem, low + 1) - at_low)


def _check_k(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise MetricError(f"k is {k} with {n} samples.", "Pass 1 <= k <= n, or draw more samples.")
