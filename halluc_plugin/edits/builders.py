"""Build masks, labels, attention and positions for training, each by a pure function of a ``Resolution``.

Shapes: B responses of T positions follow prompts of P positions; ``prompt_valid`` is Bool[B, P], padded on
either side. Sequence coordinates run over P + T, the prompt first.
"""

from collections.abc import Callable
from enum import StrEnum

import torch

from halluc_plugin.edits.resolution import Resolution
from halluc_plugin.errors import TraceError

NO_LIMIT = -1
"""The value for no limit in a tensor of budgets."""

IGNORE_INDEX = -100
"""The label that torch's and transformers' cross entropies ignore."""


class ErasedTokens(StrEnum):
    """Whether erased tokens take part in the loss."""

    MASK = "mask"
    """They are left out, which is a bias: no policy gradient, KL or entropy reaches them."""
    KEEP = "keep"
    """They count like all other tokens: the unbiased reference."""
    WEIGHT = "weight"
    """They count with a share of the loss (:class:`halluc_plugin.losses.shares.LossShares`); for imitation
    only."""
    NEGATIVE = "negative"
    """They count, and are never encouraged: they get minus the size of their answer's advantage (see
    :func:`halluc_plugin.credit.turn_against`). This is for policy gradients only, as imitation cannot do
    it."""


class Boundary(StrEnum):
    """The effect of an edit on an empty response."""

    NOOP = "noop"
    """The edit does nothing, as in the MDP."""
    MASK = "mask"
    """The edit cannot be sampled there."""


def response_mask(resolution: Resolution, erased: ErasedTokens) -> torch.Tensor:
    """Return which actions the policy loss counts, Bool[B, T]; edits and live tokens always count.

    Args:
        resolution: B traces of width T.
        erased: Whether erased tokens count, too.
    """
    if erased is ErasedTokens.MASK:
        return resolution.valid & ~resolution.erased
    return resolution.valid.clone()


def sft_labels(resolution: Resolution, ignore_index: int = IGNORE_INDEX) -> torch.Tensor:
    """Return the ids to imitate, Long[B, T].

    Erased tokens and padding hold ``ignore_index``; edits and corrections are imitated. Labels are aligned
    with ``ids`` (transformers shifts them inside its loss).
    """
    return torch.where(response_mask(resolution, ErasedTokens.MASK), resolution.ids, ignore_index)


def budget_mask(
    resolution: Resolution, budget: int | torch.Tensor | None, boundary: Boundary
) -> torch.Tensor:
    """Return which actions were sampled while edit tokens were banned, Bool[B, T].

    Args:
        resolution: B traces of width T.
        budget: Number of effective edits after which edits are banned, None for no limit; or Long[B], one for
            each trace, with :data:`NO_LIMIT` for no limit.
        boundary: Whether edits are banned on an empty response.

    Raises:
        TraceError: The budget is negative, or the trace has an edit where edits were banned.
    """
    banned = torch.zeros_like(resolution.valid)
    if budget is not None:
        limits = torch.as_tensor(budget, device=banned.device).reshape(-1, 1)
        unlimited = limits == NO_LIMIT if isinstance(budget, torch.Tensor) else torch.zeros_like(limits) > 0
        if ((limits < 0) & ~unlimited).any():
            raise TraceError(f"The backtrack budget is {budget}.", "Give 0 or more, or None for no limit.")
        effective = (resolution.is_edit & ~resolution.noop).long()
        banned |= (effective.cumsum(1) - effective >= limits) & ~unlimited
    if boundary is Boundary.MASK:
        banned |= resolution.depth == 0
    banned &= resolution.valid
    broken = banned & resolution.is_edit
    if broken.any():
        row, column = (int(i) for i in broken.nonzero()[0])
        raise TraceError(
            f"Row {row} has an edit at position {column}, where budget={budget} and boundary={boundary} "
            "ban it.",
            "Pass the budget and boundary that the trace was sampled with.",
        )
    return banned


def position_ids(resolution: Resolution, prompt_valid: torch.Tensor) -> torch.Tensor:
    """Return rewound positions, Long[B, P + T]: prompt length plus depth, and 0 at padding."""
    _check_prompt(resolution, prompt_valid)
    prompt = (prompt_valid.long().cumsum(1) - 1).clamp(min=0)
    response = prompt_valid.sum(1, keepdim=True) + resolution.depth
    return torch.cat([prompt * prompt_valid, response * resolution.valid], 1)


def logit_index(resolution: Resolution, prompt_valid: torch.Tensor) -> torch.Tensor:
    """Return where the logits of each action are in hard context, Long[B, T] in sequence coordinates.

    An action's logits are at its parent, or at the last prompt position if the parent is -1.
    """
    _check_prompt(resolution, prompt_valid)
    width = prompt_valid.shape[1]
    columns = torch.arange(width, device=prompt_valid.device)
    # A column of -1 first, for amax refuses a batch without any columns.
    last = torch.nn.functional.pad(torch.where(prompt_valid, columns, -1), (1, 0), value=-1)
    last = last.amax(1, keepdim=True)
    return torch.where(resolution.parent >= 0, resolution.parent + width, last)


def tree_columns(resolution: Resolution, prompt_valid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tree attention as two columns: which tokens can be seen, and until when.

    Returns:
        ``readable`` (Bool[B, P + T]: prompt and text tokens; no token sees edit tokens or padding), and
        ``until`` (Long[B, P + T]: the position from which on a token is no longer seen, P + T for never).
    """
    _check_prompt(resolution, prompt_valid)
    text = resolution.valid & ~resolution.is_edit
    length = prompt_valid.shape[1] + text.shape[1]
    erased_at = torch.where(resolution.erased, resolution.erased_at + prompt_valid.shape[1], length)
    until = torch.cat([torch.full_like(prompt_valid, length, dtype=torch.long), erased_at], 1)
    return torch.cat([prompt_valid, text], 1), until


def flex_mask_mod(
    resolution: Resolution, prompt_valid: torch.Tensor
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the tree attention as a ``mask_mod`` of torch's flex_attention, over sequence coordinates.

    Token j is visible to text token i if and only if j belongs to the prompt, or is text that is live at i.
    Edit tokens and padding are seen only by themselves, and see only themselves.
    """
    readable, until = tree_columns(resolution, prompt_valid)

    def mask_mod(b: torch.Tensor, _head: torch.Tensor, q: torch.Tensor, kv: torch.Tensor) -> torch.Tensor:
        live = readable[b, kv] & (until[b, kv] > q) & (kv <= q)
        return (readable[b, q] & live) | (q == kv)

    return mask_mod


def tree_attention_mask(resolution: Resolution, prompt_valid: torch.Tensor) -> torch.Tensor:
    """Return which query attends to which key in hard context, Bool[B, P + T, P + T].

    :func:`flex_mask_mod` defines when a token is visible.
    """
    mask_mod = flex_mask_mod(resolution, prompt_valid)
    rows, length = prompt_valid.shape[0], prompt_valid.shape[1] + resolution.ids.shape[1]
    b = torch.arange(rows, device=prompt_valid.device)[:, None, None]
    index = torch.arange(length, device=prompt_valid.device)
    return mask_mod(b, torch.zeros_like(b), index[None, :, None], index[None, None, :])


def _check_prompt(resolution: Resolution, prompt_valid: torch.Tensor) -> None:
    if prompt_valid.ndim != 2 or prompt_valid.shape[0] != resolution.ids.shape[0]:
        raise TraceError(
            f"prompt_valid has shape {tuple(prompt_valid.shape)} for {resolution.ids.shape[0]} responses.",
            "Pass Bool[batch, prompt length].",
        )
    if prompt_valid.dtype != torch.bool:
        raise TraceError(f"prompt_valid has dtype {prompt_valid.dtype}.", "Pass a bool mask.")
    if prompt_valid.shape[0] and not prompt_valid.any(1).all():
        raise TraceError("A prompt is empty.", "Give every response at least one prompt token.")
