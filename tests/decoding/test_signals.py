"""Entropy and margin of the next token of text, by hand."""

import math

import pytest
import torch

from halluc_plugin.decoding.signals import text_signal
from halluc_plugin.decoding.triggers import TextSignal


def test_by_hand():
    """Three text tokens of 1/2, 1/4 and 1/4; an edit, however likely, is left out."""
    logits = torch.tensor([math.log(2.0), 0.0, 0.0, 9.0])
    entropy = text_signal(logits, TextSignal.ENTROPY, {3, 99})
    assert float(entropy) == pytest.approx(1.5 * math.log(2), abs=1e-5)
    assert float(text_signal(logits, TextSignal.MARGIN, {3})) == pytest.approx(-0.25, abs=1e-6)
    assert float(logits[3]) == 9.0


def test_a_sure_model_has_no_entropy():
    """One token of text is possible: 0, and the largest margin."""
    logits = torch.tensor([[5.0, -torch.inf, -torch.inf]])
    assert text_signal(logits, TextSignal.ENTROPY).tolist() == [0.0]
    assert text_signal(logits, TextSignal.MARGIN).tolist() == [-1.0]
