"""The ``halluc:`` block of a recipe as dataclasses, and the strict reader of it.

Every adapter reads the block with :func:`load`; an unknown key, a value of the wrong kind and a
contradiction are refused before anything starts.
"""

from halluc_plugin.settings.blocks import (
    Context,
    FailureSettings,
    GuardSettings,
    MetricSettings,
    PrepareSettings,
    RewardSettings,
    TokenSettings,
    TraceLogSettings,
    TurnSettings,
    WarmStartTraces,
)
from halluc_plugin.settings.credit import CreditSettings, CreditValues, ValueSettings, ValueSource
from halluc_plugin.settings.curriculum import Stage
from halluc_plugin.settings.reading import choose
from halluc_plugin.settings.run import Settings, load

__all__ = [
    "Context",
    "CreditSettings",
    "CreditValues",
    "FailureSettings",
    "GuardSettings",
    "MetricSettings",
    "PrepareSettings",
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
