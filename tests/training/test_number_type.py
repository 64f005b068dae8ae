"""Training computes in the number type that is fast on the processor, and says so where a choice is slow."""

import logging

import pytest
import torch

from halluc_plugin.training import TrainSettings, number_type
from halluc_plugin.training.number_type import LARGE, with_number_type


class Model:
    """Has so many parameters, which are never made."""

    def __init__(self, count):
        self._count = count

    def parameters(self):
        """One parameter without memory."""
        return [torch.empty(self._count, device="meta")]


@pytest.fixture(params=[True, False], ids=["multiplies", "does not multiply"])
def fast(request, monkeypatch):
    """A processor that multiplies in bfloat16, or does not; no accelerator."""
    monkeypatch.setattr(number_type, "multiplies_bfloat16", lambda: request.param)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    return request.param


def test_only_large_models_on_fast_processors_compute_in_bfloat16(fast):
    """50M parameters and the instructions are needed; small models compute alike everywhere."""
    assert with_number_type(TrainSettings(), Model(LARGE)).bf16 is (True if fast else None)
    assert with_number_type(TrainSettings(), Model(LARGE - 1)).bf16 is None


@pytest.mark.parametrize("choice", [True, False])
def test_a_choice_stays(fast, choice, caplog):
    """What was asked for is done, with a warning where it is many times slower."""
    with caplog.at_level(logging.WARNING):
        assert with_number_type(TrainSettings(bf16=choice), Model(LARGE)).bf16 is choice
    assert ("many times slower" in caplog.text) == (choice and not fast)


def test_an_accelerator_decides_by_itself(monkeypatch):
    """There the trainer computes in bfloat16 as before."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert with_number_type(TrainSettings(), Model(LARGE)) == TrainSettings()
