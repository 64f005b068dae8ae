"""Probe whether errors, edits and corrections pull a model in one direction.

The cosines are those of N-MARS's rebuttal, between gradients of the imitation loss on error tokens, on edits,
and on the text that is written instead of the errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab, events, resolve
from halluc_plugin.errors import MetricError


@dataclass(frozen=True)
class GradientCosines:
    """Cosines between mean gradients, over all trained parameters.

    Attributes:
        error_edit: Cosine between the gradients of error tokens and of edits.
        error_correction: Cosine between the gradients of error tokens and of corrections.
        edit_correction: Cosine between the gradients of edits and of corrections.
    """

    error_edit: float
    error_correction: float
    edit_correction: float


def gradient_cosines(model: Any, rows: Sequence[TraceRow], vocab: EditVocab) -> GradientCosines:
    """Compute the cosines for one batch of traces in soft context; the model's gradients are not changed.

    A correction is the text after an event: as many live tokens as the event erased, or fewer if the
    response, or the text up to the next error, ends earlier.

    Args:
        model: A causal language model in eval mode.
        rows: Traces with errors.
        vocab: The edit vocabulary of the ids.

    Raises:
        MetricError: The rows hold no error, edit or correction.
    """
    width = max(len(row.response_ids) for row in rows)
    responses = torch.tensor([[*row.response_ids, *[0] * (width - len(row.response_ids))] for row in rows])
    valid = torch.arange(width) < torch.tensor([len(row.response_ids) for row in rows])[:, None]
    resolution = resolve(responses, valid, vocab)
    corrections = torch.zeros_like(valid)
    for event in events(resolution):
        live = (resolution.live[event.row] & valid[event.row]).tolist()
        for column in range(event.stop, min(event.stop + len(event.erased), width)):
            if not live[column]:
                break
            corrections[event.row, column] = True
    losses = _token_losses(model, rows, width)
    parameters = [p for p in model.parameters() if p.requires_grad]
    masks = {"errors": resolution.erased, "edits": resolution.is_edit & valid, "corrections": corrections}
    gradients = {}
    for what, mask in masks.items():
        if not mask.any():
            raise MetricError(f"The traces hold no {what}.", "Pass traces that take errors back.")
        mean = losses[mask.to(losses.device)].mean()
        parts = torch.autograd.grad(mean, parameters, retain_graph=True, allow_unused=True)
        gradients[what] = torch.cat([part.flatten() for part in parts if part is not None])
    return GradientCosines(
        _cosine(gradients["errors"], gradients["edits"]),
        _cosine(gradients["errors"], gradients["corrections"]),
        _cosine(gradients["edits"], gradients["corrections"]),
    )


def _token_losses(model: Any, rows: Sequence[TraceRow], width: int) -> torch.Tensor:
    """Float[N, T]: the loss of each response token; without meaning at padding."""
    prompt = max(len(row.prompt_ids) for row in rows)
    ids = torch.zeros(len(rows), prompt + width, dtype=torch.long)
    index = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        whole = [*row.prompt_ids, *row.response_ids]
        ids[number, : len(whole)] = torch.tensor(whole)
        index[number] = len(row.prompt_ids) + torch.arange(width)
    ids, index = ids.to(model.device), index.clamp(max=prompt + width - 1).to(model.device)
    # Right padding: no query before it sees it.
    log_probs = model(input_ids=ids).logits.float().log_softmax(-1)
    predicted = log_probs.gather(1, (index - 1)[..., None].expand(-1, -1, log_probs.shape[-1]))
    return -predicted.gather(-1, ids.gather(1, index)[..., None]).squeeze(-1)


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))
