"""Decide whether traces in soft context are trained on packed rows.

A step of 32 searches on words of 0.9M parameters, whose rows have from 24 to 144 tokens, takes 0.39 of the
CPU time of padded rows (one thread, medians of 12 batches).
"""

from typing import Any

import torch

from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import causal_model, check_reading, require_tree_attention
from halluc_plugin.hard.packed_attention import take_packed_rows


def packs_soft_rows(model: Any, vocab: EditVocab, *, bf16: bool) -> bool:
    """Return whether soft context is trained on packed rows: on a CPU, where padding costs most.

    Elsewhere, and for models that cannot (windows, states, attention or a head of their own), rows are padded
    and read as the transformers trainer reads them.

    Args:
        model: A transformers causal language model, also in peft's wrappers.
        vocab: The edit vocabulary, from whose tokens a short row is made and read in both ways.
        bf16: Whether forward passes compute in bfloat16.
    """
    if torch.accelerator.is_available() or next(model.parameters()).device.type != "cpu":
        return False
    try:
        causal = causal_model(model)
        require_tree_attention(causal.config)
        if not take_packed_rows(causal):
            return False
        check_reading(model, vocab, Context.SOFT, autocast=torch.bfloat16 if bf16 else torch.float32)
    except SettingsError:
        return False
    return True
