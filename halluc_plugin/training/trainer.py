"""The transformers trainer with losses for raw traces: packed rows, hard context, labels with weights."""

from typing import Any

import torch
from transformers import Trainer

from halluc_plugin.edits import Context, EditVocab, resolve
from halluc_plugin.edits.builders import IGNORE_INDEX
from halluc_plugin.hard import Statistic, score_actions, without_unknown


class TraceTrainer(Trainer):
    """The transformers trainer with a loss for raw traces.

    In hard context an action is predicted from the live text. Labels may have different weights. Rows of the
    model that stand for no token are out of the softmax, as they are in sampling: they get no gradient.

    Args:
        vocab: The edit vocabulary of the ids, which says which exist; needed for batches of
            :class:`halluc_plugin.training.dataset.TreeCollator`, whose rows are packed. None for all rows of
            the model.
        context: What each action of such a batch sees.
    """

    def __init__(
        self, *args: Any, vocab: EditVocab | None = None, context: Context = Context.HARD, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._vocab, self._context = vocab, context
        # The loss is ours, whatever the model's forward accepts: labels are counted over the optimizer step.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the weighted cross entropy over the labels, in nats per label of the optimizer step.

        Several processes hold a part of the step's labels each, and their gradients are averaged, not summed.
        The loss has a factor for that, as transformers' own loss does.
        """
        labels, weights = inputs.pop("labels")[:, 1:], inputs.pop("weights", None)
        output = None
        if "response_ids" in inputs:
            losses = self._of_traces(model, inputs, labels)
        else:
            output = model(**inputs, use_cache=False)
            logits = output.logits[:, :-1].float()
            if self._vocab is not None:
                logits = without_unknown(logits, self._vocab)
            losses = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1),
                labels.flatten(),
                ignore_index=IGNORE_INDEX,
                reduction="none",
            )
        total = losses.sum() if weights is None else (losses.flatten() * weights[:, 1:].flatten()).sum()
        if num_items_in_batch is None:
            loss = total / (labels != IGNORE_INDEX).sum()
        else:
            loss = total / num_items_in_batch * self.accelerator.num_processes
        return (loss, output) if return_outputs else loss

    def _of_traces(self, model: Any, inputs: dict[str, Any], labels: torch.Tensor) -> torch.Tensor:
        """Float[N, T], cross entropy at each label, 0 elsewhere."""
        if self._vocab is None:
            raise TypeError("a trainer of packed traces is given the vocabulary: TraceTrainer(vocab=...)")
        resolution = resolve(inputs["response_ids"], inputs["response_valid"], self._vocab)
        scores = score_actions(
            model,
            inputs["prompt_ids"],
            inputs["prompt_valid"],
            resolution,
            context=self._context,
            wanted=(Statistic.LOG_PROB,),
        )
        return -scores.log_probs.masked_fill(labels == IGNORE_INDEX, 0)
