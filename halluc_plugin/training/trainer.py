"""The transformers trainer with a loss of ours: labels at the parents of their actions, and with weights."""

from typing import Any

import torch
from transformers import Trainer

from halluc_plugin.edits.builders import IGNORE_INDEX


class TraceTrainer(Trainer):
    """The transformers trainer with a loss of ours.

    In hard context a label is predicted at its action's parent; and labels may weigh more or less.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The loss is ours, whatever the model's forward accepts: labels are counted over the optimizer step.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Weighted cross entropy over the labelled actions, in nats per label of the whole optimizer step.

        Several processes hold a part of the step's labels each, and their gradients are averaged, not summed:
        hence the factor, which transformers has in its own loss.
        """
        labels = inputs.pop("labels")[:, 1:]
        index, weights = inputs.pop("logit_index", None), inputs.pop("weights", None)
        output = model(**inputs, use_cache=False)
        if index is None:
            logits = output.logits[:, :-1]
        else:
            logits = output.logits.gather(1, index[..., None].expand(-1, -1, output.logits.shape[-1]))
        losses = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="none"
        )
        total = losses.sum() if weights is None else (losses * weights[:, 1:].flatten()).sum()
        if num_items_in_batch is None:
            loss = total / (labels != IGNORE_INDEX).sum()
        else:
            loss = total / num_items_in_batch * self.accelerator.num_processes
        return (loss, output) if return_outputs else loss
