"""Choose the number type in which forward passes of training compute, by what the processor has."""

import logging
from dataclasses import replace
from typing import Any

import torch

from halluc_plugin.processor import multiplies_bfloat16
from halluc_plugin.training.settings import TrainSettings

logger = logging.getLogger(__name__)

LARGE = 50_000_000
"""Number of parameters from which on products in bfloat16 pay on a processor that has them: a step of 135M
parameters takes 0.65 of the CPU time of float32 (4 rows of 96 tokens, one thread). Small models, whose time
goes elsewhere for the most part, stay in float32, the same on every processor."""


def with_number_type(settings: TrainSettings, model: Any) -> TrainSettings:
    """Return settings that say whether to compute in bfloat16; a user's choice stays, with a warning if slow.

    Args:
        settings: The settings, in which ``bf16`` may be open.
        model: The model that is to be trained.
    """
    if torch.accelerator.is_available():
        return settings
    if settings.bf16 is None:
        large = sum(parameter.numel() for parameter in model.parameters()) >= LARGE
        return replace(settings, bf16=True) if large and multiplies_bfloat16() else settings
    if settings.bf16 and not multiplies_bfloat16():
        logger.warning(
            "halluc: this processor does not multiply in bfloat16 (AVX512-BF16, AMX), so that --bf16 is "
            "many times slower here than --no-bf16."
        )
    return settings
