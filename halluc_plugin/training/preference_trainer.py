"""The transformers trainer with a preference loss."""

from typing import Any

import torch

from halluc_plugin.edits import Context
from halluc_plugin.losses.preference import PreferenceSettings, Sides, imitation_loss, preference_loss
from halluc_plugin.losses.token_rewards import regularised
from halluc_plugin.training.mean_logs import MeanLogsTrainer
from halluc_plugin.training.pairs import PairCollator
from halluc_plugin.training.reference_sums import imitated_log_probs


class PreferenceTrainer(MeanLogsTrainer):
    """The transformers trainer with a preference loss; batches are those of a :class:`PairCollator`.

    Args:
        loss: The loss and its constants.
        context: What each action sees.
        token_rewards: The weight of the regulariser by token rewards; None for none.
        imitation: The weight of the chosen sides' mean negative log-likelihood.
    """

    data_collator: PairCollator

    def __init__(
        self,
        *args: Any,
        loss: PreferenceSettings,
        context: Context,
        token_rewards: float | None = None,
        imitation: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._loss, self._context, self._alpha = loss, context, token_rewards
        self._imitation = imitation
        self.model_accepts_loss_kwargs = True  # pairs are counted over the optimizer step

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the mean loss of the pairs of an optimizer step, a scalar.

        The divergence of KTO is estimated from the mismatched responses of one forward pass.
        """
        pairs = len(inputs["labels"])
        imitated = imitated_log_probs(model, inputs, self.data_collator, self._context)
        log_probs = imitated.masked_fill(~inputs["counted"], 0)
        policy = log_probs.sum(1).split(pairs)
        counts = inputs["counted"].sum(1).split(pairs)
        known = inputs["reference"].split(pairs) if self._loss.needs_reference else None
        found = preference_loss(
            self._loss,
            Sides(*policy[:2]),
            counts=Sides(*counts[:2]),
            reference=None if known is None else Sides(*known[:2]),
            mismatched=None if known is None or len(policy) == 2 else policy[2] - known[2],
        )
        if self._alpha is not None:
            weighted = (log_probs * inputs["token_rewards"]).sum(1).split(pairs)
            found = regularised(found, Sides(*weighted), beta=self._loss.scale, alpha=self._alpha)
        self._note(Sides(*policy[:2]), found.rewards)
        losses = found.losses
        if self._imitation:
            chosen, written = (x[:pairs].sum(1) for x in (imitated, inputs["imitated"]))
            losses = losses + self._imitation * imitation_loss(chosen, written)
        loss = losses.sum() / (pairs if num_items_in_batch is None else num_items_in_batch)
        return (loss, {}) if return_outputs else loss

    def _note(self, policy: Sides, rewards: Sides) -> None:
        margins = rewards.difference
        # A tie, as before the first step, is half a success.
        right = ((margins > 0) + 0.5 * (margins == 0)).mean()
        self.note(preference_accuracy=float(right), reward_margin=float(margins.mean()))
        for name, sums, side in zip(Sides._fields, policy, rewards, strict=True):
            told = {f"reward_{name}": side, f"log_prob_{name}": sums.detach()}
            self.note(**{key: float(value.mean()) for key, value in told.items()})
