"""Compute credit: from rewards of whole answers to advantages of single actions.

An answer's advantage is relative to its group (:func:`group_relative`) and goes to each of its unmasked
actions (:func:`spread`). On top of that, or in its place, edits can be credited for their effect
(:func:`event_credit`) and all actions for that of theirs (:func:`pay_actions`), and erased tokens can be
discouraged (:func:`turn_against`); :func:`shape_advantages` does all of it.

Read in this order: :mod:`.groups`, :mod:`.event_values` (the values around an event, by a verifier or by
continuations), :mod:`.prefix_tree` (the same by the group's own answers), :mod:`.sources` (which of them a
run uses), :mod:`.events`; for all actions :mod:`.states` (values of states), :mod:`.units` (what is paid
together), :mod:`.forms` (what it is paid), :mod:`.paying`; then :mod:`.sampled_actions` and :mod:`.shaping`.
Two attempts in turns are paid by :mod:`.turn_stages`.
"""

from halluc_plugin import moved
from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.credit.events import event_credit, turn_against
from halluc_plugin.credit.forms import CreditForm
from halluc_plugin.credit.groups import group_relative, require_finite, spread
from halluc_plugin.credit.paying import pay_actions
from halluc_plugin.credit.prefix_tree import prefix_tree_values
from halluc_plugin.credit.sampled_actions import sampled_actions
from halluc_plugin.credit.shaping import shape_advantages
from halluc_plugin.credit.turn_stages import TurnStage, held_advantages, pay_turns, spread_turns
from halluc_plugin.credit.units import CreditUnits

__all__ = [
    "CreditForm",
    "CreditUnits",
    "EventValue",
    "TurnStage",
    "event_credit",
    "group_relative",
    "held_advantages",
    "pay_actions",
    "pay_turns",
    "prefix_tree_values",
    "require_finite",
    "sampled_actions",
    "shape_advantages",
    "spread",
    "spread_turns",
    "turn_against",
]

moved.forward(__name__)
