"""Rewards of answers that may take tokens back.

:mod:`.states` says where a trace can be looked at, :mod:`.answer` turns a resolved trace into what a reward
may look at, :mod:`.components` holds the named components, :func:`score` adds them up. Nothing here knows a
host.
"""

from halluc_plugin.rewards.answer import Answer, Trace, Verdict, judge, observe
from halluc_plugin.rewards.components import COMPONENTS, component, score
from halluc_plugin.rewards.states import Marks, States, states_of

__all__ = [
    "COMPONENTS",
    "Answer",
    "Marks",
    "States",
    "Trace",
    "Verdict",
    "component",
    "judge",
    "observe",
    "score",
    "states_of",
]
