"""The drift of a model from its base, by hand: ids 0 and 1 are text, 2 edits, 3 stands for no token."""

from math import log
from types import SimpleNamespace

import pytest
import torch

from halluc_plugin.probes import forgetting
from halluc_plugin.probes.forgetting import drift

KNOWN, EDITS = (0, 1), (2,)


class Says:
    """A model whose next token depends on the last one alone: a row of probabilities for each."""

    device = torch.device("cpu")

    def __init__(self, *rows):
        self.rows = torch.tensor(rows)

    def __call__(self, input_ids, use_cache, logits_to_keep):
        """Log-probs of the last places."""
        return SimpleNamespace(logits=self.rows[input_ids].log()[:, -logits_to_keep:])


BASE = Says([0.5, 0.5], [0.5, 0.5])
MODEL = Says([0.2, 0.2, 0.4, 0.2], [0.3, 0.1, 0.1, 0.5])
"""Renormalised on text: one half each behind 0, three quarters and one behind 1."""
BEHIND_ONE = 0.5 * log(0.5 / 0.75) + 0.5 * log(0.5 / 0.25)


@pytest.mark.parametrize("places", [1, 256])
def test_both_are_renormalised_where_neither_edits(monkeypatch, places):
    """Behind 0 there is no divergence, behind 1 there is; the edit has 0.4 of 0.8 and 0.1 of 0.5."""
    monkeypatch.setattr(forgetting, "PLACES", places)
    found = drift(BASE, MODEL, [((0,), (1, 0)), ((1,), (1,))], KNOWN, EDITS)
    assert found.divergence.n == 3
    assert found.divergence.value == pytest.approx(2 / 3 * BEHIND_ONE)
    assert found.edits.value == pytest.approx((0.5 + 0.2 + 0.2) / 3)
    assert found.divergence.low < found.divergence.value < found.divergence.high


def test_a_model_has_not_drifted_from_itself():
    """Nor does one without edits edit; a text without ids has no place."""
    found = drift(BASE, BASE, [((0,), (1, 0)), ((1,), ()), ((1,), (0,))], KNOWN, ())
    assert (found.divergence.value, found.edits.value, found.divergence.n) == (0.0, 0.0, 3)
