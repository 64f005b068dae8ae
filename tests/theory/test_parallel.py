"""Samples beside one another: majority against enumeration, best-of-n, and what stands between."""

from collections import Counter
from itertools import product
from math import prod

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.parallel import at_tokens, best_of, majority


def enumerated(right, wrong, samples):
    """Over all sequences of answers; the last one is none."""
    chances = [right, *wrong, 1 - right - sum(wrong)]
    total = 0.0
    for votes in product(range(len(chances)), repeat=samples):
        counts = Counter(vote for vote in votes if vote < len(chances) - 1)
        most = max(counts.values(), default=0)
        first = [answer for answer, count in counts.items() if count == most]
        total += prod(chances[vote] for vote in votes) * (0 in first) / max(1, len(first))
    return total


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
@pytest.mark.parametrize(("right", "wrong"), [(0.4, (0.3, 0.2)), (0.25, (0.25, 0.25, 0.25)), (0.6, ())])
def test_majority_is_that_of_all_sequences(right, wrong, samples):
    """Ties are shared, and what comes to nothing abstains."""
    assert majority(right, wrong, samples) == pytest.approx(enumerated(right, wrong, samples))


def test_a_vote_on_a_quarter_stays_a_quarter():
    """Four answers that are alike: as many votes as one likes are worth what one is."""
    assert majority(0.25, (0.25,) * 3, 16) == pytest.approx(0.25)


def test_best_of_n_and_between():
    """1 - (1 - p)^n; between two whole numbers by a line; less than one sample is one."""
    assert best_of(0.25, 8) == pytest.approx(0.8999, abs=1e-4)
    assert at_tokens(lambda n: best_of(0.5, n), 1.5) == pytest.approx((0.5 + 0.75) / 2)
    assert at_tokens(lambda n: best_of(0.5, n), 0.3) == 0.5


@pytest.mark.parametrize("arguments", [(0.5, (0.6,), 3), (0.5, (0.1,), 0), (-0.1, (), 2)])
def test_what_is_no_distribution_is_refused(arguments):
    """Probabilities add to at most 1, and there is a vote."""
    with pytest.raises(SettingsError, match="votes with probabilities"):
        majority(*arguments)
