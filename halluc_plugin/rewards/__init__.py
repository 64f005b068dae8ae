"""Compute rewards of answers that may take tokens back.

Read in this order: :mod:`.states` (the states of a trace that can be judged), :mod:`.answer` (the parts of a
resolved trace that a reward may use), :mod:`.components` (the named components, a module each; :func:`score`
adds them up), :mod:`.registry` (knows them by name), :mod:`.settings` (weights and parameters),
:mod:`.influence` (which components reach the gradient). This package knows no host.
"""

from halluc_plugin import moved
from halluc_plugin.rewards.answer import Answer, Trace, Verdict, judge_answer, observe
from halluc_plugin.rewards.components import score
from halluc_plugin.rewards.registry import COMPONENTS, Component, component, components
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.rewards.states import Marks, States, states_of

__all__ = [
    "COMPONENTS",
    "Answer",
    "Component",
    "Marks",
    "RewardSettings",
    "States",
    "Trace",
    "Verdict",
    "component",
    "components",
    "judge_answer",
    "observe",
    "score",
    "states_of",
]

moved.forward(__name__)
