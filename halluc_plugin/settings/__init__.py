"""The ``halluc:`` block of a recipe as dataclasses, and its strict reader.

Read in this order: :mod:`.run` (the whole block; every adapter reads it with :func:`load`), :mod:`.blocks`,
:mod:`.credit` and :mod:`.curriculum` (its groups; rewards have theirs in
:mod:`halluc_plugin.rewards.settings`), :mod:`.strict` (the reader). An unknown key, a value of the wrong kind
and a contradiction are refused before anything starts.
"""

from halluc_plugin import moved
from halluc_plugin.credit.forms import CreditForm
from halluc_plugin.credit.sources import CreditValues
from halluc_plugin.credit.units import CreditUnits
from halluc_plugin.rewards.settings import RewardSettings
from halluc_plugin.settings.blocks import (
    FailureSettings,
    GuardSettings,
    MetricSettings,
    PrepareSettings,
    ReportSettings,
    ResetAt,
    ResetSettings,
    TokenSettings,
    TraceLogSettings,
    TurnSettings,
    WarmStartTraces,
)
from halluc_plugin.settings.credit import CreditSettings, ValueSettings, ValueSource
from halluc_plugin.settings.curriculum import Stage
from halluc_plugin.settings.run import Settings, load
from halluc_plugin.settings.strict import choose

__all__ = [
    "CreditForm",
    "CreditSettings",
    "CreditUnits",
    "CreditValues",
    "FailureSettings",
    "GuardSettings",
    "MetricSettings",
    "PrepareSettings",
    "ReportSettings",
    "ResetAt",
    "ResetSettings",
    "RewardSettings",
    "Settings",
    "Stage",
    "TokenSettings",
    "TraceLogSettings",
    "TurnSettings",
    "ValueSettings",
    "ValueSource",
    "WarmStartTraces",
    "choose",
    "load",
]

moved.forward(__name__)
