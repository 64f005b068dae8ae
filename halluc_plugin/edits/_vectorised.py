"""Resolve the edits by tensor operations without a loop over time (on CUDA, or on request).

With single deletions only, the number of live tokens is a cumulative sum clipped at zero, h_t = S_t - min(0,
min_{s<=t} S_s), and everything else follows from h. A step backtrack deletes as many tokens as the stack
says, so its size is solved for: start from size one, compute the stack, read off the sizes, repeat until
nothing changes. The sizes up to the k-th step edit of a row are right after k rounds, so the loop ends, and
its fixpoint is the only solution. Step edits rarely depend on each other, so a few rounds are enough.
"""

import torch

from halluc_plugin.edits.vocab import EditVocab


def resolve_fields(ids: torch.Tensor, valid: torch.Tensor, vocab: EditVocab) -> dict[str, torch.Tensor]:
    """Return the computed fields of a ``Resolution``, with the shapes given there."""
    width = ids.shape[1]
    is_edit = _is_in(ids, sorted(vocab.edit_ids)) & valid
    text = valid & ~is_edit
    change = text.long() - is_edit.long()
    # Edits that look for a delimiter, with the delimiters that they look for.
    looking = []
    for token_id, stops in vocab.stops.items():
        edits = is_edit & (ids == token_id)
        if stops is not None and not stops:
            change = torch.where(edits, -width, change)
        elif stops and edits.any():
            looking.append((edits, _is_in(ids, sorted(stops)) & text))
    while True:
        height = _clipped_sum(change)
        before = torch.nn.functional.pad(height, (1, 0))[:, :-1]
        parent = _last_push_to(before, height, text)
        if not looking:
            break
        size = change
        for edits, delimiter in looking:
            size = torch.where(edits, -(before - _target(parent, before, delimiter, text)), size)
        if torch.equal(size, change):
            break
        change = size
    noop = is_edit & (before == 0)
    erased_at = _erased_at(height, text, is_edit)
    starts = is_edit & ~torch.nn.functional.pad(is_edit, (1, 0))[:, :-1]
    return {
        "is_edit": is_edit,
        "erased": text & (erased_at < width),
        "noop": noop,
        "erased_at": erased_at,
        "parent": torch.where(valid, parent, -1),
        "depth": torch.where(valid, before, 0),
        "event": torch.where(is_edit, starts.long().cumsum(1) - 1, -1),
    }


def _is_in(ids: torch.Tensor, members: list[int]) -> torch.Tensor:
    return torch.isin(ids, torch.tensor(members, dtype=ids.dtype, device=ids.device))


def _clipped_sum(change: torch.Tensor) -> torch.Tensor:
    """Cumulative sum that never goes below zero."""
    total = change.cumsum(1)
    if not total.numel():
        return total
    return total - total.cummin(1).values.clamp(max=0)


def _previous_with_key(query: torch.Tensor, stored: torch.Tensor, stores: torch.Tensor) -> torch.Tensor:
    """For each t, the last s < t in the row with ``stores[s]`` and ``stored[s] == query[t]``; -1 if none.

    All queries and entries are sorted by (key, time); a running maximum per key then carries the last entry.
    """
    rows, width = query.shape
    if not query.numel():
        return query.clone()
    time = torch.arange(width, device=query.device).expand(rows, width)
    # At equal time the query comes first: an entry answers later queries only.
    order_key = torch.cat([query * 2 * width + 2 * time, stored * 2 * width + 2 * time + 1], 1)
    key = torch.cat([query, stored], 1)
    entry = torch.cat([torch.full_like(time, -1), torch.where(stores, time, -1)], 1)
    order = order_key.argsort(1)
    key, entry = key.gather(1, order), entry.gather(1, order)
    # Keys ascend, so adding a multiple of the key makes one running maximum restart at each key.
    span = width + 1
    carried = (key * span + entry + 1).cummax(1).values - key * span - 1
    answer = torch.empty_like(carried).scatter_(1, order, carried)
    return answer[:, :width]


def _last_push_to(before: torch.Tensor, height: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Index of the last live token before each action: the latest text token that reached this height."""
    parent = _previous_with_key(before, height, text)
    return torch.where(before > 0, parent, -1)


def _target(
    parent: torch.Tensor, before: torch.Tensor, delimiter: torch.Tensor, text: torch.Tensor
) -> torch.Tensor:
    """Live length after such an edit at each position: just after the nearest delimiter below the top.

    Each token points to the one below it on the stack; pointers are doubled until they reach a delimiter.
    """
    rows, width = parent.shape
    root = torch.full((rows, 1), width, device=parent.device)
    below = torch.cat([torch.where((parent >= 0) & text, parent, width), root], 1)
    stop = torch.cat([delimiter, torch.ones_like(root, dtype=torch.bool)], 1)
    jump = below
    for _ in range(max(1, width).bit_length()):
        jump = torch.where(stop.gather(1, jump), jump, jump.gather(1, jump))
    live_after = torch.cat([torch.where(text, before + 1, 0), torch.zeros_like(root)], 1)
    landing = live_after.gather(1, jump)  # of a step backtrack whose last live token is this one
    return landing.gather(1, torch.where(parent >= 0, parent, width))


def _erased_at(height: torch.Tensor, text: torch.Tensor, is_edit: torch.Tensor) -> torch.Tensor:
    """First time after each text token at which the height is below the token's own, T if never.

    A token at height h falls to the first edit after it that lands below h: such an edit leads from a
    height of at least h, so among the landings, the next one at or below h - 1. Time reversed, this is a
    next-smaller search, done by doubling over a table of range minima.
    """
    rows, width = height.shape
    if not height.numel():
        return height.clone()
    high = torch.iinfo(height.dtype).max
    landing = torch.where(is_edit, height, high)
    # minima[k][t] = min of landing over [t, t + 2^k)
    minima = [landing]
    while (1 << len(minima)) <= width:
        half = 1 << (len(minima) - 1)
        shifted = torch.nn.functional.pad(minima[-1], (0, half), value=high)[:, half:]
        minima.append(torch.minimum(minima[-1], shifted))
    at = torch.arange(1, width + 1, device=height.device).expand(rows, width).clone()
    for k in range(len(minima) - 1, -1, -1):
        table = torch.nn.functional.pad(minima[k], (0, 1), value=high)
        skip = table.gather(1, at.clamp(max=width)) >= height
        at = torch.where(skip, at + (1 << k), at).clamp(max=width)
    return torch.where(text, at, width)
