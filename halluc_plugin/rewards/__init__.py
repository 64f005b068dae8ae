"""Rewards of answers that may take tokens back.

:mod:`.states` says where a trace can be looked at, :mod:`.answer` turns a resolved trace into what a reward
may look at, :mod:`.components` holds the named components, :func:`score` adds them up. Nothing here knows a
host.
"""

from halluc_plugin.rewards.answer import Answer, Trace, Verdict, judge_answers, observe
from halluc_plugin.rewards.components import score
from halluc_plugin.rewards.registry import COMPONENTS, component
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.rewards.states import Marks, States, states_of

__all__ = [
    "COMPONENTS",
    "Answer",
    "Marks",
    "RewardSettings",
    "States",
    "Trace",
    "Verdict",
    "component",
    "judge_answers",
    "observe",
    "score",
    "states_of",
]
