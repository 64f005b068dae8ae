"""What a device holds while answers are sampled, and how many of them fit at once."""

from dataclasses import dataclass

import torch

from halluc_plugin.errors import SettingsError
from halluc_plugin.planning.devices import Device
from halluc_plugin.planning.live_bytes import Attending
from halluc_plugin.planning.run import PlannedRun
from halluc_plugin.planning.shapes import ModelShape

NUMBER = 2
"""Size of an engine's weights and cache in bytes: bfloat16."""


@dataclass(frozen=True)
class RolloutMemory:
    """Bytes on a device during rollout.

    Attributes:
        trainer: What the trainer leaves there: weights and moments that are not offloaded.
        weights: The engine's weights.
        working: A forward pass of the engine, and the logits of the requests that it runs at once.
        cache: What is left of the engine's share for keys and values.
        of_a_token: Bytes of keys and values of a token.
        at_once: Answers of full length that the cache holds.
    """

    trainer: float
    weights: float
    working: float
    cache: float
    of_a_token: float
    at_once: int

    @property
    def peak(self) -> float:
        """The trainer's part and the engine's share."""
        return self.trainer + self.weights + self.working + self.cache


def rollout_memory(shape: ModelShape, run: PlannedRun, device: Device, trainer: float) -> RolloutMemory:
    """Return what a device holds during rollout.

    vLLM takes the share ``gpu_memory_utilization`` of a device and gives to the cache what weights and a
    forward pass leave (its ``determine_available_memory``). A token's keys and values are 2 L H d numbers
    (Pope et al. 2022, arXiv 2211.05102, section 3.3), H the heads of keys, divided over an engine's devices
    while there is a head for each.

    Args:
        shape: The model's.
        run: The run's settings.
        device: The device.
        trainer: Bytes that the trainer leaves there.

    Raises:
        SettingsError: The engine's share leaves no room for one answer of full length.
    """
    parallel = run.tensor_parallel
    weights = shape.parameters * NUMBER / parallel
    heads = max(1.0, shape.kv_heads / parallel)
    of_a_token = 2 * shape.layers * heads * shape.head_dim * NUMBER
    passing = shape.layer_bytes(run.batched_tokens, torch.bfloat16, Attending.FUSED).forward / parallel
    # Logits in the type of the weights, the same in float32, and their softmax.
    working = passing + run.most_requests * shape.rows * (NUMBER + 4 + 4)
    cache = run.memory_utilization * device.memory - weights - working
    at_once = int(cache // (of_a_token * run.longest))
    if at_once < 1:
        raise SettingsError(
            f"The engine's share of a device ({run.memory_utilization:g} of {device.memory / 1e9:g} GB) "
            f"holds {weights / 1e9:.1f} GB of weights and {working / 1e9:.1f} GB of a forward pass, and no "
            f"answer of {run.longest} tokens.",
            "Raise tp or memory-utilization, or take a device with more memory (--device).",
        )
    return RolloutMemory(trainer, weights, working, cache, of_a_token, at_once)
