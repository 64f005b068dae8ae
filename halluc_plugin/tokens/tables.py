"""Find the parameters of a model that have a row for each token.

Apart from the input and the output embedding these are the bias of the output (Phi, GPT-J, CodeGen), the
embeddings that each layer reads anew (Gemma 3n, Gemma 4), and further heads over the vocabulary (of models
that predict several tokens at once). A new token needs its row in every one of them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

PER_LAYER = "embed_tokens_per_layer"


class Side(StrEnum):
    """The purpose of a row."""

    INPUT = "input"
    """The row reads the token."""
    OUTPUT = "output"
    """The row writes the token."""


@dataclass(frozen=True)
class TokenTable:
    """A parameter with a row for each token.

    Attributes:
        name: Name of the parameter in the model, such as ``lm_head.bias``.
        side: The purpose of its rows.
        rows: The parameter, Float[V, H], or Float[V] for a bias.
    """

    name: str
    side: Side
    rows: torch.nn.Parameter

    @property
    def module(self) -> str:
        """Name of the module that the parameter belongs to."""
        return self.name.rpartition(".")[0]


def token_tables(model: Any) -> list[TokenTable]:
    """Return the tables of a model; a shared parameter appears once, under its first name.

    Args:
        model: A transformers causal language model.

    Returns:
        The tables, the input embedding first.
    """
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    count = inputs.weight.shape[0]
    found: dict[int, TokenTable] = {}

    def note(name: str, side: Side, parameter: Any) -> None:
        if parameter is not None:
            found.setdefault(id(parameter), TokenTable(name, side, parameter))

    modules = list(model.named_modules())
    note(next(f"{name}.weight" for name, module in modules if module is inputs), Side.INPUT, inputs.weight)
    for name, module in modules:
        if module is outputs or _is_head(name, module, count):
            note(f"{name}.weight", Side.OUTPUT, module.weight)
            note(f"{name}.bias", Side.OUTPUT, getattr(module, "bias", None))
        elif isinstance(module, torch.nn.Embedding) and name.rpartition(".")[2] == PER_LAYER:
            note(f"{name}.weight", Side.INPUT, module.weight)
    return list(found.values())


def _is_head(name: str, module: Any, count: int) -> bool:
    """Whether it is a further head over the vocabulary; by its name too, since sizes may agree by chance."""
    return isinstance(module, torch.nn.Linear) and module.out_features == count and "head" in name
