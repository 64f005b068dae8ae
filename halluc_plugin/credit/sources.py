"""Name the sources of the values by which edits are credited, and the functions that compute them."""

from collections.abc import Callable, Hashable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.credit.prefix_tree import prefix_tree_values

if TYPE_CHECKING:
    from halluc_plugin.edits import EditVocab

Valued = Callable[
    [Sequence[Sequence[int]], Sequence[Hashable], Sequence[float], "EditVocab"], list[list[EventValue]]
]
"""A function from raw traces, their groups and rewards to the values around each effective event of each
trace."""


class CreditValues(StrEnum):
    """The source of the values by which edits are credited."""

    JUDGED = "judged"
    """The values of ``halluc.values``."""
    PREFIX_TREE = "prefix_tree"
    """Mean rewards of the group's own answers that passed through a state."""


BY_GROUP: dict[CreditValues, Valued] = {CreditValues.PREFIX_TREE: prefix_tree_values}
"""The sources that need only the group's answers and rewards; the others need a judge of states."""
