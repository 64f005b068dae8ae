"""Shape the advantages of answers into the final advantage of each action."""

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
    pay: Tensor | None = None,
    alpha: float = 0.0,
    replaces: bool = False,
) -> Tensor:
    """Return advantages with erased tokens discouraged, if asked for, and single actions credited.

    Args:
        advantages: The group-normalised advantage of the whole answer at every unmasked action, Float[B, T].
        response_mask: Nonzero for actions that contribute to the loss, Bool[B, T] or a number.
        resolution: B traces of width T.
        erased: The treatment of erased tokens. Only ``negative`` changes anything here; ``mask`` and ``keep``
            act through the mask.
        event_values: The values around each effective event of each trace, None for no credit of edits.
        pay: The pay of every action (:func:`halluc_plugin.credit.pay_actions`), Float[B, T], None for none.
        alpha: Units of advantage per unit of value; see :func:`halluc_plugin.credit.event_credit`.
        replaces: Whether the credit takes the place of the answer's advantage.

    Returns:
        The advantage of each action, Float[B, T], zero where masked.

    Raises:
        TraceError: The shapes or the numbers of events do not fit.
    """
    if erased is ErasedTokens.NEGATIVE:
        advantages = turn_against(advantages, resolution.erased)
    if replaces:
        advantages = advantages * 0
    if pay is not None:
        advantages = advantages + alpha * pay.to(advantages)
    if event_values is not None:
        advantages = advantages + event_credit(resolution, event_values, alpha).to(advantages)
    return advantages * response_mask.to(advantages.dtype)
