"""Decoding cost in soft and in hard context, by hand."""

import math

import pytest
import torch

from halluc_plugin.edits import EditVocab, resolve
from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import DecoderShape, area_under_accuracy, hard_flops, soft_flops

UNIT = DecoderShape(hidden=1, kv=1, intermediate=1, layers=1)  # 7 for each slot, 1 for each position seen
VOCAB = EditVocab(backtrack=9)


def resolution(*rows):
    """Resolved rows, padded on the right."""
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return resolve(ids, torch.tensor([[i < len(row) for i in range(width)] for row in rows]), VOCAB)


def test_the_papers_formula():
    """Qin's 3M model over 512 tokens: 6 layers of (2·256² + 2·256·64 + 3·256·512)·512 + 256·512·513/2."""
    shape = DecoderShape(hidden=256, kv=64, intermediate=512, layers=6)
    expected = 6 * ((131_072 + 32_768 + 393_216) * 512 + 256 * 131_328)
    assert shape.flops(512, 512 * 513 // 2) == expected


def test_soft_and_hard_context_by_hand():
    """Prompt of 2, trace 1 5 < 2: six slots; soft sees 21 positions, hard 1+2 then 3, 4, 5 and 4."""
    traces = resolution([1, 5, 9, 2], [1, 2])
    assert soft_flops(traces, [2, 0], UNIT) == [6 * 7 + 21, 2 * 7 + 3]
    assert hard_flops(traces, [2, 0], UNIT) == [6 * 7 + 3 + 3 + 4 + 5 + 4, 2 * 7 + 3]


def test_each_row_needs_its_prompt_length():
    """Two rows, one length."""
    with pytest.raises(MetricError, match="1 prompt lengths for 2 rows"):
        soft_flops(resolution([1], [2]), [3], UNIT)


def test_area_is_the_mean_accuracy_over_log_compute():
    """From 1 to 10 the accuracy rises from 0 to 1, from 10 to 1000 it stays: (0.5 + 2·1) / 3."""
    assert area_under_accuracy([1, 10, 1000], [0.0, 1.0, 1.0]) == pytest.approx(2.5 / 3)
    assert area_under_accuracy([math.e, math.e**2], [0.4, 0.4]) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("flops", "accuracy", "message"),
    [
        ([1.0], [0.5], "two or more points"),
        ([1.0, 2.0], [0.5], "two or more points"),
        ([2.0, 1.0], [0.5, 0.5], "do not ascend"),
        ([0.0, 1.0], [0.5, 0.5], "do not ascend"),
    ],
)
def test_points_that_are_no_curve_are_refused(flops, accuracy, message):
    """A single point, unequal lengths, and costs out of order or zero."""
    with pytest.raises(MetricError, match=message):
        area_under_accuracy(flops, accuracy)
