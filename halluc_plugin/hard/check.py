"""Check before a run that a short row gives the model's own logits for its collapsed prefixes."""

from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch

from halluc_plugin.edits import Context, EditVocab, Resolution, pad_rows, resolve_rows
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard.forward import ActionScores, query_of
from halluc_plugin.hard.head import ACTIONS, causal_model, reading_actions
from halluc_plugin.hard.inputs import lay_out
from halluc_plugin.hard.statistics import Statistic

TOLERANCE, TOLERANCE_IN_HALF = 1e-3, 0.5
"""Largest difference of log-probs by rounding, in nats, in single and in half precision."""


@torch.no_grad()
def check_reading(
    model: Any,
    vocab: EditVocab,
    context: Context,
    *,
    autocast: torch.dtype = torch.float32,
    device: torch.device | str | int | None = None,
) -> None:
    """Compare a packed row with an edit with plain forward passes of what each action saw.

    If there are several processes, all of them must call it.

    The row is packed together with another one.

    Args:
        model: The model, as for :func:`halluc_plugin.hard.score_actions`.
        vocab: The edit vocabulary, from whose tokens the row is made.
        context: What an action sees, soft or hard.
        autocast: The dtype in which forward passes compute.
        device: The device on which they compute; None for that of the weights.

    Raises:
        SettingsError: The results differ, or an erased token changes what follows: the model's attention does
            not follow the mask, its positions are not those that are given, or its head computes something
            else than expected.
    """
    causal = causal_model(model)
    device = next(model.parameters()).device if device is None else torch.empty(0, device=device).device
    rows = causal.config.get_text_config().vocab_size
    edits = [vocab.backtrack] if vocab.backtrack < rows else []
    out = {*vocab.edit_ids, *vocab.unknown_ids(rows)}
    a, b, c, d, e = islice((token for token in range(rows) if token not in out), 5)
    prompts, beside = [[a, b], [c]], [e, b, a]
    traces, changed = ([[c, erased, *edits, e, a], beside] for erased in (d, b))
    training = model.training
    model.eval()
    try:
        with torch.autocast(device.type, autocast) if autocast is not torch.float32 else nullcontext():
            found = _read(model, *_resolved(prompts, traces, vocab, device), context)
            other = _read(model, *_resolved(prompts, changed, vocab, device), context)
            own = _own(model, prompts, _resolved(prompts, traces, vocab, device)[2], context)
    finally:
        model.train(training)
    tolerance = TOLERANCE if autocast is torch.float32 and model.dtype is torch.float32 else TOLERANCE_IN_HALF
    gap = float((found - own).abs().max())
    if not gap <= tolerance:
        raise SettingsError(
            f"Log-probs read in {context} context differ by {gap:.3g} nats from the model's own logits.",
            "Its attention does not follow the mask or the positions that it is given, or its head is not "
            "what it seems: load it with attn_implementation=eager, or use another model.",
        )
    # The erased token, its own log-prob and that of the edit after it differ; what comes then must not.
    moved = float((found - other)[0, 2 + len(edits) :].abs().max())
    if context is Context.HARD and edits and moved > TOLERANCE:
        raise SettingsError(
            f"A token that was taken back changes later log-probs by {moved:.3g} nats: the model does not "
            "follow the mask that it is given.",
            "Load it with attn_implementation=eager, or use another model, or halluc.context=soft.",
        )


def _resolved(
    prompts: list[list[int]], traces: list[list[int]], vocab: EditVocab, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, Resolution]:
    ids, valid = (padded.to(device) for padded in pad_rows(prompts))
    return ids, valid, resolve_rows(traces, vocab).to(device)


def _read(
    model: Any, ids: torch.Tensor, valid: torch.Tensor, resolution: Resolution, context: Context
) -> torch.Tensor:
    """Float[B, T], as in training."""
    inputs = lay_out(causal_model(model), ids, valid, resolution, context)
    query = query_of(resolution, inputs, wanted=(Statistic.LOG_PROB,), unknown_banned=False)
    with reading_actions(model):
        output = model(**inputs.arguments, **{ACTIONS: query}, use_cache=False)
    return ActionScores.of(resolution, output, query.wanted).log_probs


def _own(model: Any, prompts: list[list[int]], resolution: Resolution, context: Context) -> torch.Tensor:
    """Float[B, T], each action by a plain forward over what it saw."""
    found = torch.zeros(resolution.ids.shape, device=resolution.ids.device)
    for row, column in resolution.valid.nonzero().tolist():
        raw = resolution.ids[row, :column].tolist()
        seen = resolution.live_at(row, column) if context is Context.HARD else raw
        ids = torch.tensor([prompts[row] + seen], device=found.device)
        logits = model(input_ids=ids, use_cache=False).logits[0, -1].float()
        found[row, column] = logits.log_softmax(-1)[resolution.ids[row, column]]
    return found
