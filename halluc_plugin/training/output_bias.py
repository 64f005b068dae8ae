"""Train rows of the bias of a model's output, which peft cannot do for rows of a linear layer.

peft (0.19 to 0.21) computes a linear layer with trained rows without the layer's bias, and trains no rows of
a bias. So the bias becomes a table of its own with one value for each token, whose rows are trained, saved
and resumed like those of an embedding. It is added to the logits and, when all updates are merged, put back.
"""

from typing import Any

import torch

TABLE = "output_bias"


class OutputBias:
    """The bias of a model's output while it is a table.

    Args:
        model: A transformers causal language model whose output has a bias; the table becomes its child.
    """

    def __init__(self, model: Any) -> None:
        self._head, self._bias = model.get_output_embeddings(), model.get_output_embeddings().bias
        count = len(self._bias)
        self._model = model
        model.add_module(TABLE, torch.nn.Embedding(count, 1, _weight=self._bias.detach()[:, None].clone()))
        self._head.bias = None

    @classmethod
    def take_from(cls, model: Any) -> "OutputBias | None":
        """Take the bias out of a model's output; return None if the output has none."""
        return None if getattr(model.get_output_embeddings(), "bias", None) is None else cls(model)

    def attach(self, tuned: Any) -> None:
        """Add the bias to the logits of a model that peft has wrapped."""
        tuned.get_base_model().get_output_embeddings().register_forward_hook(self._add)

    def _add(self, module: Any, inputs: Any, logits: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - torch's
        table: torch.Tensor = getattr(self._model, TABLE).weight  # peft gives its rows as they are trained
        return logits + table[:, 0].to(logits.dtype)

    @torch.no_grad()
    def put_back(self) -> None:
        """Put the bias back into the output, with its trained rows, so that the model is as before."""
        table = getattr(self._model, TABLE).weight
        self._bias.data = self._bias.data.to(table.device)  # the model may have moved meanwhile
        self._bias.copy_(table[:, 0])
        self._head.bias = self._bias
        delattr(self._model, TABLE)
