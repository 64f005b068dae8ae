"""The semantics as one compiled pass over the tokens (CPU)."""

from functools import cache
from typing import Any

import numpy as np
import torch

from halluc_plugin.edits.vocab import EditKind, EditVocab

TEXT, BACKTRACK, STEP, RESTART = (int(kind) for kind in EditKind)


def resolve_fields(ids: torch.Tensor, valid: torch.Tensor, vocab: EditVocab) -> dict[str, torch.Tensor]:
    """The fields of a ``Resolution``; shapes as there."""
    rows, width = ids.shape
    fields = {name: np.zeros((rows, width), np.bool_) for name in ("is_edit", "erased", "noop")}
    fields |= {name: np.empty((rows, width), np.int64) for name in ("erased_at", "parent", "depth", "event")}
    if ids.numel():
        # A missing edit token gets an id that no valid action has.
        step = -1 if vocab.step is None else vocab.step
        restart = -1 if vocab.restart is None else vocab.restart
        delimiters = np.array(sorted(vocab.step_delimiters), np.int64)
        _loop()(
            ids.contiguous().numpy(), valid.contiguous().numpy(), vocab.backtrack, step, restart, delimiters,
            fields["is_edit"], fields["erased"], fields["noop"],
            fields["erased_at"], fields["parent"], fields["depth"], fields["event"],
        )  # fmt: skip
    return {name: torch.from_numpy(array) for name, array in fields.items()}


@cache
def _loop() -> Any:
    # numba takes a third of a second to import, so it waits for the first batch.
    import numba

    return numba.njit(cache=True)(_resolve_rows)


def _resolve_rows(  # type: ignore[no-untyped-def] # noqa: ANN202, C901, PLR0917 - numba compiles one plain loop
    ids, valid, backtrack, step, restart, delimiters, is_edit, erased, noop, erased_at, parent, depth, event,  # noqa: ANN001
):  # fmt: skip
    rows, width = ids.shape
    stack = np.empty(width, np.int64)  # indices of the live tokens
    # steps[k]: how many tokens are live up to and including the k-th live delimiter
    steps = np.empty(width, np.int64)
    for b in range(rows):
        live = 0
        num_steps = 0
        events = -1
        in_event = False
        for t in range(width):
            erased_at[b, t] = width
            event[b, t] = -1
            if not valid[b, t]:
                parent[b, t] = -1
                depth[b, t] = 0
                continue
            token = ids[b, t]
            parent[b, t] = stack[live - 1] if live > 0 else -1
            depth[b, t] = live
            if token != backtrack and token != step and token != restart:  # noqa: PLR1714 - numba has no sets
                in_event = False
                stack[live] = t
                live += 1
                if delimiters.size > 0:
                    at = np.searchsorted(delimiters, token)
                    if at < delimiters.size and delimiters[at] == token:
                        steps[num_steps] = live
                        num_steps += 1
                continue
            is_edit[b, t] = True
            if not in_event:
                events += 1
                in_event = True
            event[b, t] = events
            if live == 0:
                noop[b, t] = True
                continue
            keep = 0
            if token != restart:
                keep = live - 1
            while num_steps > 0 and steps[num_steps - 1] > keep:
                num_steps -= 1
            if token == step:
                keep = steps[num_steps - 1] if num_steps > 0 else 0
            for s in range(keep, live):
                erased[b, stack[s]] = True
                erased_at[b, stack[s]] = t
            live = keep
