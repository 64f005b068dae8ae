"""Measure whether backtracking turns wrong answers right, or right ones wrong.

Two answers to each problem are compared. For a backtracking model the first is that of its banned twin: the
same model, seed and prefix up to the first edit, with the edit tokens' logits at minus infinity. The second
is the resolved answer.

The terms are those of SCoRe (arXiv 2409.12917).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.metrics.intervals import Difference, McNemar, Proportion, mcnemar, paired_difference


@dataclass(frozen=True)
class Correction:
    """The change between first and second answers, as shares of all problems unless said otherwise.

    Attributes:
        first: Accuracy of the first answers (Acc@t1).
        second: Accuracy of the second answers (Acc@t2).
        to_correct: Δ(i→c), first wrong and second right.
        to_incorrect: Δ(c→i), first right and second wrong.
        delta: Δ = Acc@t2 - Acc@t1 = Δ(i→c) - Δ(c→i), with a paired interval.
        conditional: Δ(i→c) / (1 - Acc@t1), the share of wrong first answers that were corrected.
        test: McNemar's test; its ``only_first`` counts c→i, its ``only_second`` i→c.
    """

    first: Proportion
    second: Proportion
    to_correct: Proportion
    to_incorrect: Proportion
    delta: Difference
    conditional: Proportion
    test: McNemar


def correction(first: Sequence[bool], second: Sequence[bool]) -> Correction:
    """Compare the correctness of two answers to each problem.

    Args:
        first: Whether the first answer to each problem is right.
        second: Whether the second answer to each problem is right, in the same order.

    Raises:
        MetricError: Lengths differ, or a value is not 0 or 1.
    """
    test = mcnemar(first, second)
    right_first = sum(map(bool, first))
    return Correction(
        first=Proportion.of(right_first, test.n),
        second=Proportion.of(sum(map(bool, second)), test.n),
        to_correct=Proportion.of(test.only_second, test.n),
        to_incorrect=Proportion.of(test.only_first, test.n),
        delta=paired_difference(second, first),
        conditional=Proportion.of(test.only_second, test.n - right_first),
        test=test,
    )
