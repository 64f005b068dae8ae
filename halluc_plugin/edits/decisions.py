"""Which actions decide: to take back, to go on behind a finished step, or to end."""

from collections.abc import Collection

import torch

from halluc_plugin.edits.resolution import Resolution


def decisions(resolution: Resolution, delimiters: Collection[int], end_ids: Collection[int]) -> torch.Tensor:
    """Bool[B, T]: edits, ends, and live tokens behind a finished step of the live text.

    A function of the trace alone, the same whatever the context. What is erased decides nothing: it is text,
    its beginning too.

    Args:
        resolution: The traces.
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
