"""Compute credit: from rewards of whole answers to advantages of single actions.

An answer's advantage is relative to its group (:func:`group_relative`) and goes to each of its unmasked
actions (:func:`spread`). On top of that, edits can be credited for their effect (:func:`event_credit`), and
erased tokens can be discouraged (:func:`turn_against`); :func:`shape_advantages` does both.

Read in this order: :mod:`.groups`, :mod:`.event_values` (the values around an event, by a verifier or by
continuations), :mod:`.prefix_tree` (the same by the group's own answers), :mod:`.sources` (which of them a
run uses), :mod:`.events`, :mod:`.shaping`.
"""

from halluc_plugin import moved
from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.credit.events import event_credit, turn_against
from halluc_plugin.credit.groups import group_relative, require_finite, spread
from halluc_plugin.credit.prefix_tree import prefix_tree_values
from halluc_plugin.credit.shaping import shape_advantages

__all__ = [
    "EventValue",
    "event_credit",
    "group_relative",
    "prefix_tree_values",
    "require_finite",
    "shape_advantages",
    "spread",
    "turn_against",
]

moved.forward(__name__)
