"""Run by test_stock_unaffected.py in a Python of its own: what an import of verl leaves behind, as JSON."""

import json
import os
import sys
from importlib import import_module

BEFORE = dict(os.environ)

import verl  # noqa: E402, F401 - the environment before it is compared with the one after
from verl.experimental.agent_loop.agent_loop import _agent_loop_registry  # noqa: E402
from verl.experimental.reward_loop.reward_manager.registry import REWARD_MANAGER  # noqa: E402
from verl.plugin.platform import get_platform  # noqa: E402
from verl.plugin.platform.platform_manager import PlatformRegistry  # noqa: E402
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY  # noqa: E402
from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY  # noqa: E402
from verl.workers.engine.base import EngineRegistry  # noqa: E402

WAITED_FOR = (
    "verl.experimental.agent_loop.agent_loop",
    "verl.experimental.reward_loop.reward_loop",
    "verl.experimental.reward_loop.reward_manager.registry",
    "verl.plugin.platform.platform_manager",
    "verl.trainer.constants_ppo",
    "verl.trainer.ppo.core_algos",
    "verl.trainer.ppo.v1.trainer_base",
    "verl.trainer.ppo.v1.trainer_sync",
    "verl.utils.config",
    "verl.utils.distributed",
    "verl.utils.fsdp_utils",
    "verl.workers.engine.fsdp.transformer_impl",
)


def home(value):
    """Where a function or class was defined."""
    name = getattr(value, "__qualname__", type(value).__name__)
    return f"{getattr(value, '__module__', '')}.{name}"


def main():
    """Print everything as one line."""
    members = {
        module: {name: home(v) for name, v in vars(import_module(module)).items() if callable(v)}
        for module in WAITED_FOR
    }
    engines = [
        f"{kind} {name} {device}"
        for kind, by_name in EngineRegistry._engines.items()
        for name, by_device in by_name.items()
        for device in by_device
    ]
    registries = {
        "platforms": sorted(PlatformRegistry.registered_names()),
        "agent loops": sorted(_agent_loop_registry),
        "reward managers": sorted(REWARD_MANAGER),
        "estimators": sorted(ADV_ESTIMATOR_REGISTRY),
        "trainers": sorted(TRAINER_REGISTRY),
        "engines": sorted(engines),
    }
    changed = {name: value for name, value in os.environ.items() if BEFORE.get(name) != value}
    seen = [members, registries, changed, get_platform().device_name]
    sys.stdout.write(f"SEEN {json.dumps(seen)}\n")


main()
