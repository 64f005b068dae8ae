"""From advantages of answers, one for each action, to what each action is really paid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.credit.events import event_credit, turn_against
from halluc_plugin.edits.builders import ErasedTokens

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution


def shape_advantages(
    advantages: Tensor,
    response_mask: Tensor,
    resolution: "Resolution",
    *,
    erased: ErasedTokens,
    event_values: Sequence[Sequence[EventValue]] | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """Turn erased tokens around where asked to, and pay edits what they did.

    Args:
        advantages: Float[B, T], of whole answers, group-normalised, at every unmasked action.
        response_mask: Bool or number[B, T]: the actions that learn.
        resolution: B traces of width T.
        erased: What erased tokens get; ``mask`` and ``keep`` are the mask's business.
        event_values: What each effective event of each trace was worth; None pays nothing.
        alpha: See :func:`halluc_plugin.credit.event_credit`.

    Returns:
        Float[B, T], zero where masked.

    Raises:
        TraceError: Shapes or numbers of events do not fit.
    """
    if erased is ErasedTokens.NEGATIVE:
        advantages = turn_against(advantages, resolution.erased)
    if event_values is not None:
        advantages = advantages + event_credit(resolution, event_values, alpha).to(advantages)
    return advantages * response_mask.to(advantages.dtype)
