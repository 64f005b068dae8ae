"""Compute, before a run, what it will hold on each device and how long a step will take.

Nothing is loaded and nothing is run: a model is built on torch's ``meta`` device, which knows shapes alone,
and its parameters and what its layers keep for the backward pass are counted there (:mod:`.shapes`,
:mod:`.live_bytes`). All else is arithmetic that names its source: :mod:`.update` for the trainer's part,
:mod:`.rollout` for the engine's, :mod:`.seconds` for time. :mod:`.plan` puts them side by side for GRPO
without edits and for soft and hard context.
"""

from halluc_plugin.planning.devices import DEVICES, Device, device
from halluc_plugin.planning.plan import Kind, Plan, plan, plan_model
from halluc_plugin.planning.run import PlannedRun
from halluc_plugin.planning.shapes import ModelShape, read_shape

__all__ = [
    "DEVICES",
    "Device",
    "Kind",
    "ModelShape",
    "Plan",
    "PlannedRun",
    "device",
    "plan",
    "plan_model",
    "read_shape",
]
