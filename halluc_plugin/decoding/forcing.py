"""Keep an answer from ending before it has taken back often enough, or a verifier says yes: budget forcing.

Budget forcing is s1's (arXiv 2501.19393, section 3.1): where the model would stop thinking, the end is
suppressed and "Wait" is written in its place. With an edit token the end may also be banned alone, which
leaves it to the model what comes instead. The transformers engine does it
(:func:`~halluc_plugin.decoding.decode`); vLLM does not. It is for evaluation: no trainer knows of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from halluc_plugin.errors import SettingsError

Accepts = Callable[[int, Sequence[int]], bool]
"""``accepts(response, live_ids)``: whether a verifier says yes to what is live of a response, by its number
among the prompts."""


@dataclass(frozen=True)
class Forcing:
    """The settings by which an answer may not end yet.

    An answer may end as soon as it has taken back often enough, or a verifier says yes to what is live; one
    that reaches neither is cut off at the largest number of actions.

    Args:
        edits: Number of effective edits after which it may end, or of ends that were held back with
            ``instead``, whichever is larger; None if a verifier alone decides.
        accepts: The verifier; None for none. It is asked in each state whose end is not free otherwise, or
            with ``instead`` where the model would end.
        instead: Ids that are written in the place of an end, such as those of "Wait" or an edit token; no
            ban holds for them, and their log-probability is 0. Empty to ban the end alone, so that what comes
            instead is the model's.

    Raises:
        SettingsError: Nothing lets an answer end, or a number is out of range.
    """

    edits: int | None = None
    accepts: Accepts | None = None
    instead: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.edits is None and self.accepts is None:
            raise SettingsError(
                "Budget forcing with neither a number of edits nor a verifier: no answer could ever end.",
                "Give edits, accepts, or both.",
            )
        if self.edits is not None and self.edits < 1:
            raise SettingsError(
                f"Budget forcing until {self.edits} edits holds nothing back.",
                "Give at least 1, or no forcing.",
            )

    def lets_end(self, response: int, live_ids: Sequence[int], taken_back: int) -> bool:
        """Return whether a response may end now.

        Args:
            response: Its number among the prompts.
            live_ids: What is live of it.
            taken_back: Number of its effective edits, or of its ends that were held back.
        """
        if self.edits is not None and taken_back >= self.edits:
            return True
        return self.accepts is not None and self.accepts(response, live_ids)

    def require_sense(self, budget: int | None, eos_ids: frozenset[int], *, signal: bool) -> None:
        """Refuse other settings of a decoding with which it has no meaning.

        Args:
            budget: Largest number of effective edits, None for no limit.
            eos_ids: Ids that end a response.
            signal: Whether a signal takes text back.

        Raises:
            SettingsError: They contradict each other.
        """
        if not eos_ids:
            raise SettingsError("Budget forcing without ids that end a response.", "Give eos_ids.")
        if not eos_ids.isdisjoint(self.instead):
            raise SettingsError(
                "The ids that are written in the place of an end hold one themselves.",
                "Leave it out of instead.",
            )
        if signal:
            raise SettingsError(
                "A signal takes text back, and budget forcing waits for edits.", "Leave one of them out."
            )
        if not self.instead and self.accepts is None and budget is not None and budget < (self.edits or 0):
            raise SettingsError(
                f"Budget forcing waits for {self.edits} edits, and the budget is {budget}: "
                "no answer could end.",
                "Raise the budget, or give ids to write in the place of an end.",
            )
