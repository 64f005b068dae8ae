"""Find the actions that decide: to take back, to start a new step, or to end."""

from collections.abc import Collection

import torch

from halluc_plugin.edits.resolution import Resolution


def decisions(resolution: Resolution, delimiters: Collection[int], end_ids: Collection[int]) -> torch.Tensor:
    """Return which actions are decisions, Bool[B, T].

    Decisions are edits, ends, and live tokens that follow a finished step of the live text. They depend on
    the trace alone, and not on the context. Erased tokens, the first of a span included, do not count as
    decisions.

    Args:
        resolution: B traces of width T.
        delimiters: Ids that end a step.
        end_ids: Ids that end a response.
    """
    ids = resolution.ids
    ends = torch.isin(ids, torch.tensor(sorted(end_ids), device=ids.device))
    before = ids.gather(1, resolution.parent.clamp(min=0))
    finished = torch.isin(before, torch.tensor(sorted(delimiters), device=ids.device)) & (
        resolution.parent >= 0
    )
    return resolution.valid & (resolution.is_edit | ((ends | finished) & ~resolution.erased))
