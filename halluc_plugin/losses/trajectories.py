"""Compute Q- and V-values of raw traces, by one forward pass in hard context."""

from collections.abc import Collection
from typing import Any

import torch

from halluc_plugin.edits import Resolution, resolve
from halluc_plugin.edits.builders import ErasedTokens, response_mask
from halluc_plugin.hard import Statistic, score_actions
from halluc_plugin.losses.sequence_match import Trajectories


def score_trajectories(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    *,
    eos_ids: Collection[int],
    erased: ErasedTokens = ErasedTokens.KEEP,
) -> Trajectories:
    """Score responses, each state seen as its collapsed text.

    Args:
        model: The model, as for :func:`halluc_plugin.hard.score_actions`.
        prompt_ids: The token ids of the prompts, Long[B, P], padded on either side.
        prompt_valid: Which positions hold a prompt token, Bool[B, P].
        resolution: The resolution of the B responses of width T; padding is on the right.
        eos_ids: Ids that end a response.
        erased: Whether erased tokens are actions of the policy (``keep``), or noise that happened to it
            (``mask``).

    Returns:
        The trajectories, with gradients; every response has weight 1.
    """
    ids, valid = resolution.ids, resolution.valid
    rows = torch.arange(len(ids), device=ids.device)
    lengths = valid.sum(1)
    # One action more, whatever it is: the logits before it are those behind the response.
    longer_ids = torch.nn.functional.pad(ids, (0, 1))
    longer_valid = torch.nn.functional.pad(valid, (0, 1))
    longer_ids[rows, lengths] = min(eos_ids)
    longer_valid[rows, lengths] = True
    longer = resolve(longer_ids, longer_valid, resolution.vocab)
    scores = score_actions(
        model, prompt_ids, prompt_valid, longer, wanted=(Statistic.LOG_PROB, Statistic.NORMALIZER)
    )
    v = scores.normalizer
    q = (scores.log_probs + v)[:, :-1].masked_fill(~valid, 0)
    last = ids.gather(1, (lengths - 1).clamp(min=0)[:, None]).squeeze(1)
    ends = torch.isin(last, torch.tensor(sorted(eos_ids), device=ids.device)) & (lengths > 0)
    return Trajectories(
        q=q,
        v=v,
        valid=valid,
        imitated=response_mask(resolution, erased),
        ended=ends,
        weights=q.new_ones(len(ids)),
    )
