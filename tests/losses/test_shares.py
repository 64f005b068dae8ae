"""Shares of the loss, and the weights that give them, by hand."""

import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.losses.shares import LossClass, LossShares

D, E, R = LossClass.DECISIONS, LossClass.ERASED, LossClass.REST


@pytest.mark.parametrize(
    ("shares", "counts", "weights"),
    [
        ({"decisions": 0.5}, {D: 4, R: 16}, {D: 2.5, E: 0.625, R: 0.625}),
        ({"decisions": 0.5}, {D: 4, E: 6, R: 10}, {D: 2.5, E: 0.625, R: 0.625}),
        ({"decisions": 0.5, "erased": 0.1}, {D: 4, E: 6, R: 10}, {D: 2.5, E: 1 / 3, R: 0.8}),
        ({"erased": 0.25}, {D: 4, E: 6, R: 10}, {D: 15 / 14, E: 5 / 6, R: 15 / 14}),
        ({"decisions": 0.75, "erased": 0.25}, {D: 4, E: 6, R: 10}, {D: 3.75, E: 5 / 6, R: 0.0}),
    ],
)
def test_weights_by_hand(shares, counts, weights):
    """A class with a share weighs share · all tokens / its tokens; the others share what is left alike."""
    got = LossShares(**shares).weights(counts)
    assert got == pytest.approx(weights)
    assert sum(got[name] * count for name, count in counts.items()) == pytest.approx(20)


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"decisions": 0.0}, "share of the loss of decisions is 0.0"),
        ({"erased": 1.5}, "share of the loss of erased is 1.5"),
        ({"decisions": float("nan")}, "share of the loss of decisions is nan"),
        ({"decisions": 0.7, "erased": 0.4}, "add to 1.1"),
    ],
)
def test_shares_that_are_none(shares, said):
    """A share is above 0 and at most 1, and all add to 1 at most."""
    with pytest.raises(SettingsError, match=said):
        LossShares(**shares)


def test_a_share_of_nothing():
    """Where no token is of a class, it cannot have a share."""
    with pytest.raises(
        DataError, match=r"Of the loss 0.1 is to go to erased tokens, and the traces have none"
    ):
        LossShares(erased=0.1).weights({D: 4, E: 0, R: 10})
