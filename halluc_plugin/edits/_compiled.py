"""Resolve the edits in one compiled pass over the tokens (CPU)."""

from functools import cache
from typing import Any

import numpy as np
import torch

from halluc_plugin.edits.vocab import EditVocab

AT_ONCE, NOWHERE = -1, -2
"""The stops of edits that look for nothing in the text; those of others are the number of their
delimiters."""


def resolve_fields(ids: torch.Tensor, valid: torch.Tensor, vocab: EditVocab) -> dict[str, torch.Tensor]:
    """Return the computed fields of a ``Resolution``, with the shapes given there."""
    rows, width = ids.shape
    fields = {name: np.zeros((rows, width), np.bool_) for name in ("is_edit", "erased", "noop")}
    fields |= {name: np.empty((rows, width), np.int64) for name in ("erased_at", "parent", "depth", "event")}
    if ids.numel():
        stops = [sorted(ids) for ids in vocab.stops.values() if ids]
        numbers = iter(range(len(stops)))
        stop = [AT_ONCE if ids is None else next(numbers) if ids else NOWHERE for ids in vocab.stops.values()]
        _loop()(
            ids.contiguous().numpy(), valid.contiguous().numpy(),
            np.array([*vocab.stops], np.int64), np.array(stop, np.int64),
            np.array([token for ids in stops for token in ids], np.int64),
            np.cumsum([0, *map(len, stops)]).astype(np.int64),
            fields["is_edit"], fields["erased"], fields["noop"],
            fields["erased_at"], fields["parent"], fields["depth"], fields["event"],
        )  # fmt: skip
    return {name: torch.from_numpy(array) for name, array in fields.items()}


@cache
def _loop() -> Any:
    # numba takes a third of a second to import, so it waits for the first batch.
    import numba

    return numba.njit(cache=True)(_resolve_rows)


def _resolve_rows(  # type: ignore[no-untyped-def] # noqa: ANN202, C901, PLR0912, PLR0915, PLR0917 - numba compiles one plain loop
    ids, valid, edits, stop, delimiters, bounds, is_edit, erased, noop, erased_at, parent, depth, event,  # noqa: ANN001
):  # fmt: skip
    """Delimiters number ``k`` are ``delimiters[bounds[k] : bounds[k + 1]]``, sorted."""
    rows, width = ids.shape
    kinds = bounds.size - 1
    lowest, highest = edits.min(), edits.max()
    stack = np.empty(width, np.int64)  # indices of the live tokens
    # marks[k, i]: how many tokens are live up to and including the i-th live one of the delimiters k
    marks = np.empty((kinds, width), np.int64)
    marked = np.zeros(kinds, np.int64)
    for b in range(rows):
        live = 0
        marked[:] = 0
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
            edit = -1
            if lowest <= token <= highest:  # nearly all tokens are text, and few of their ids lie among edits
                for e in range(edits.size):
                    if token == edits[e]:
                        edit = e
                        break
            if edit < 0:
                in_event = False
                stack[live] = t
                live += 1
                for k in range(kinds):
                    low, high = bounds[k], bounds[k + 1] - 1
                    while low < high:  # the last of the delimiters that is not above the token
                        middle = (low + high + 1) // 2
                        if delimiters[middle] <= token:
                            low = middle
                        else:
                            high = middle - 1
                    if delimiters[low] == token:
                        marks[k, marked[k]] = live
                        marked[k] += 1
                continue
            is_edit[b, t] = True
            if not in_event:
                events += 1
                in_event = True
            event[b, t] = events
            if live == 0:
                noop[b, t] = True
                continue
            keep = 0 if stop[edit] == NOWHERE else live - 1
            if stop[edit] >= 0:
                k = stop[edit]
                while marked[k] > 0 and marks[k, marked[k] - 1] > keep:
                    marked[k] -= 1
                keep = marks[k, marked[k] - 1] if marked[k] > 0 else 0
            for k in range(kinds):
                while marked[k] > 0 and marks[k, marked[k] - 1] > keep:
                    marked[k] -= 1
            for s in range(keep, live):
                erased[b, stack[s]] = True
                erased_at[b, stack[s]] = t
            live = keep
