"""pass@k and maj@k against enumeration of every subset, and the gain at equal compute by hand."""

from collections import Counter
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import (
    ProblemSamples,
    Proportion,
    compute_matched_gain,
    estimate_pass_at_k,
    maj_at_k,
    majority_at_k,
    pass_at_k,
)


def problem(answers, right=("r",), tokens=1):
    """Samples with the given answers, those in `right` being correct."""
    return ProblemSamples(answers, [a in right for a in answers], [tokens] * len(answers))


def enumerated_majority(samples, k):
    """Mean over all k-subsets of the vote, ties split, as an exact fraction."""
    verdict = dict(zip(samples.answers, samples.correct, strict=True))
    scores = []
    for subset in combinations(samples.answers, k):
        counts = Counter(a for a in subset if a is not None)
        winners = [a for a in counts if counts[a] == max(counts.values())]
        scores.append(Fraction(sum(verdict[a] for a in winners), max(1, len(winners))))
    return sum(scores) / len(scores)


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n):
    """For every c and k it equals the enumeration of all k-subsets."""
    for c in range(n + 1):
        for k in range(1, n + 1):
            subsets = list(combinations([True] * c + [False] * (n - c), k))
            assert estimate_pass_at_k(n, c, k) == pytest.approx(
                sum(map(any, subsets)) / len(subsets), abs=1e-12
            )


def test_pass_at_k_is_stable_for_many_samples():
    """1 of 10 000 right, k = 5000: exactly one half, where binomials overflow."""
    assert estimate_pass_at_k(10_000, 1, 5000) == pytest.approx(0.5)
    assert estimate_pass_at_k(10_000, 0, 10_000) == 0.0


def test_pass_at_k_averages_over_problems():
    """1 of 4 and 4 of 4 right at k = 2: (1/2 + 1) / 2, over 2 problems."""
    result = pass_at_k([problem("rabc"), problem("rrrr")], 2)
    assert result == Proportion.of_scores([0.5, 1.0])
    assert (result.value, result.n) == (0.75, 2)


@given(
    st.lists(st.sampled_from(["r", "s", "a", "b", "c", None]), min_size=1, max_size=8),
    st.data(),
)
def test_majority_is_the_mean_over_all_subsets(answers, data):
    """With several right answers, ties and abstentions it equals the enumeration of all k-subsets."""
    k = data.draw(st.integers(1, len(answers)))
    samples = problem(answers, right=("r", "s"))
    assert majority_at_k(samples, k) == pytest.approx(float(enumerated_majority(samples, k)), abs=1e-12)


@pytest.mark.parametrize(
    ("answers", "k", "value"),
    [
        ("r", 1, 1.0),
        ("ra", 2, 0.5),
        ("rab", 3, 1 / 3),
        (["r", None], 2, 1.0),
        ([None, None], 2, 0.0),
        (["r", None, None], 2, 2 / 3),
        ("rraa", 3, 0.5),
        ("raab", 3, 1 / 6),  # raa 0, rab 1/3, rab 1/3, aab 0
    ],
)
def test_majority_by_hand(answers, k, value):
    """Ties split evenly, abstentions do not vote, and all-abstaining subsets are wrong."""
    assert majority_at_k(problem(answers), k) == pytest.approx(value)


def test_majority_at_one_is_the_accuracy():
    """A vote of one sample is that sample, for any number of samples."""
    samples = problem(["r"] * 300 + ["a"] * 500 + [None] * 1200)
    assert majority_at_k(samples, 1) == pytest.approx(0.15)
    assert samples.accuracy == 0.15


def test_majority_of_many_samples_tends_to_the_most_frequent_answer():
    """1200 samples with 30 % right and 20 % for each rival: a vote of 400 is all but always right."""
    samples = problem(["r"] * 360 + ["a"] * 240 + ["b"] * 240 + [None] * 360)
    assert 0.999 < majority_at_k(samples, 400) <= 1.0
    assert majority_at_k(samples, 1200) == 1.0


def test_order_of_samples_does_not_matter():
    """Unlike a vote among the first k, where the first-seen answer wins ties."""
    assert majority_at_k(problem("raar"), 2) == pytest.approx(majority_at_k(problem("arra"), 2))


def test_maj_at_k_averages_over_problems():
    """A tie and a certainty: 3/4 over 2 problems."""
    result = maj_at_k([problem("ra"), problem("rr")], 2)
    assert (result.value, result.n) == (pytest.approx(0.75), 2)


def test_compute_matched_gain_interpolates_between_votes():
    """25 tokens against 10: k = 2.5, half way between maj@2 and maj@3 of each problem."""
    baseline = [problem("rra", tokens=10), problem("raa", tokens=10)]
    method = [problem("r", tokens=20), problem("a", tokens=30)]
    result = compute_matched_gain(method, baseline)
    # maj@2: (1 + 1/2 + 1/2)/3 = 2/3 and 1/3; maj@3: 1 and 0. Half way: 5/6 and 1/6, mean 1/2.
    assert (result.k, result.mean_tokens, result.baseline_mean_tokens) == (2.5, 25.0, 10.0)
    assert result.baseline.value == pytest.approx(0.5)
    assert result.method.value == pytest.approx(0.5)
    assert result.gain.value == pytest.approx(0.0)
    assert result.gain.n == 2


def test_compute_matched_gain_at_whole_k_needs_no_more_samples():
    """At k = 3 with three baseline samples is their vote."""
    result = compute_matched_gain([problem("r", tokens=30)], [problem("raa", tokens=10)])
    assert (result.baseline.value, result.gain.value) == (pytest.approx(0.0), pytest.approx(1.0))


def test_a_cheaper_method_is_compared_with_one_sample():
    """The k of 1/2 is reported as such, and the baseline keeps its whole sample."""
    result = compute_matched_gain([problem("r", tokens=5)], [problem("ra", tokens=10)])
    assert (result.k, result.baseline.value) == (0.5, pytest.approx(0.5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_pass_at_k(4, 2, 5), "k is 5 with 4 samples"),
        (lambda: estimate_pass_at_k(4, 2, 0), "k is 0 with 4 samples"),
        (lambda: estimate_pass_at_k(4, 5, 2), "5 right samples of 4"),
        (lambda: majority_at_k(problem("ra"), 3), "k is 3 with 2 samples"),
        (lambda: ProblemSamples([], [], []), "0 answers"),
        (lambda: ProblemSamples(["a"], [True], []), "1 answers, 1 verdicts, 0 lengths"),
        (lambda: ProblemSamples(["a"], ["wrong"], [1]), "not a boolean"),
        (
            lambda: ProblemSamples(["a", "a"], [True, False], [1, 1]),
            "right in one sample and wrong in another",
        ),
        (lambda: ProblemSamples([None], [True], [1]), "Answer None is right"),
        (lambda: compute_matched_gain([], []), "0 problems against 0"),
        (lambda: compute_matched_gain([problem("r", tokens=9)], [problem("ra", tokens=3)]), "k is 3 with 2"),
        (lambda: compute_matched_gain([problem("r", tokens=0)], [problem("r")]), "no tokens"),
    ],
)
def test_impossible_inputs_are_refused(call, message):
    """A k beyond the samples, contradicting verdicts and unequal lengths have messages of their own."""
    with pytest.raises(MetricError, match=message):
        call()
