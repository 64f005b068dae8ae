"""Keep training from changing rows of a model that stand for no token."""

from typing import Any

import torch
from transformers import TrainerCallback

from halluc_plugin.edits import EditVocab
from halluc_plugin.tokens.tables import token_tables


class PaddingRows(TrainerCallback):
    """Puts rows that stand for no token back to what they were, when training ends.

    Losses give them no gradient, but weight decay shrinks all rows alike.

    Args:
        model: The model that is trained, before training.
        vocab: The vocabulary that says which ids exist.
    """

    def __init__(self, model: Any, vocab: EditVocab) -> None:
        self._kept: list[tuple[torch.nn.Parameter, torch.Tensor, torch.Tensor]] = []
        for table in token_tables(model):
            unknown = torch.tensor(vocab.unknown_ids(len(table.rows)), dtype=torch.long)
            if len(unknown) and table.rows.requires_grad:
                self._kept.append((table.rows, unknown, table.rows.detach().cpu()[unknown]))

    @torch.no_grad()
    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Put the rows back."""
        for parameter, unknown, rows in self._kept:
            parameter[unknown.to(parameter.device)] = rows.to(parameter.device, parameter.dtype)
