"""How long a step takes, from rates that were measured, or from what is assumed and said so."""

from dataclasses import dataclass, fields

from halluc_plugin.errors import SettingsError
from halluc_plugin.planning.devices import Device
from halluc_plugin.planning.rollout import NUMBER, RolloutMemory
from halluc_plugin.planning.run import PlannedRun
from halluc_plugin.planning.shapes import ModelShape

UTILIZATION = 0.4
"""Share of a device's peak of operations that training and prompts reach: assumed. PaLM (Chowdhery et al.
2022, arXiv 2204.02311, table 3) reports 0.46, and others 0.2 to 0.3."""

BANDWIDTH = 0.6
"""Share of a device's bandwidth that decoding reaches: assumed."""


@dataclass(frozen=True)
class Rates:
    """Tokens a second of one device, as measured; None for what is assumed.

    Attributes:
        rollout: Actions sampled.
        update: Tokens (of prompts and answers) that go through an update.

    Raises:
        SettingsError: A rate is not positive.
    """

    rollout: float | None = None
    update: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            rate = getattr(self, field.name)
            if rate is not None and not rate > 0:
                raise SettingsError(f"A {field.name} rate of {rate:g} tokens a second.", "Give one above 0.")


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of a step.

    Attributes:
        rollout: Sampling all answers.
        old_log_probs: The actor's pass before the update.
        reference: The reference model's pass; 0 without one.
        update: All passes forward and backward.
    """

    rollout: float
    old_log_probs: float
    reference: float
    update: float

    @property
    def total(self) -> float:
        """The sum; verl's synchronous trainer does one after the other."""
        return sum(getattr(self, field.name) for field in fields(self))


def forward_operations(shape: ModelShape, tokens: float, context: float, read: float) -> float:
    """Return the operations of a forward pass.

    There are two for each parameter and token (Kaplan et al. 2020, arXiv 2001.08361, section 2.1; Chowdhery
    et al. 2022, appendix B), of the head only where logits are read; and 4 H d for each layer, query and key.

    Args:
        shape: The model's.
        tokens: The number of tokens.
        context: The mean number of keys that a query sees.
        read: The number of positions whose logits are read.
    """
    body = shape.parameters - shape.head * (1 if shape.tied else 2)
    attention = 4 * shape.layers * shape.heads * shape.head_dim * context
    return tokens * (2 * body + attention) + 2 * read * shape.head


def step_seconds(
    shape: ModelShape,
    run: PlannedRun,
    device: Device,
    rollout: RolloutMemory,
    *,
    rates: Rates,
    chunked: bool,
) -> StepSeconds:
    """Return how long a step takes.

    A backward pass takes two forward ones, and layers that are computed again one more; a head that is read
    in chunks is computed again, too.

    Args:
        shape: The model's.
        run: The run's settings.
        device: The device.
        rollout: What the engine holds.
        rates: The rates that were measured.
        chunked: Whether the head is read in chunks, of actions alone.
    """
    tokens = run.answers * (run.prompt + run.mean)
    read = run.answers * run.mean if chunked else tokens
    seen = (run.prompt + run.mean) / 2
    forward = forward_operations(shape, tokens, seen, read)
    head = 2 * read * shape.head
    update = forward * 3 + ((forward - head) if run.checkpointing else 0) + (head if chunked else 0)
    if run.low_rank:  # no gradients of frozen weights
        update -= forward
    if rates.update is None:
        speed = run.gpus * device.flops * UTILIZATION
        of_update = update / speed
    else:
        of_update = tokens / (run.gpus * rates.update)
    once = of_update * forward / update
    sampled = run.answers * run.mean
    of_rollout = (
        _decoding(shape, run, device, rollout)
        if rates.rollout is None
        else sampled / (run.gpus * rates.rollout)
    )
    return StepSeconds(of_rollout, once, once if run.reference else 0.0, of_update)


def _decoding(shape: ModelShape, run: PlannedRun, device: Device, rollout: RolloutMemory) -> float:
    """Seconds of decoding and of the prompts before it.

    Each step of an engine reads all weights and the cache of the answers it runs (Pope et al. 2022, section
    2.1), or is limited by its operations.
    """
    engines = run.gpus / run.tensor_parallel
    answers = run.answers / engines
    mean = run.prompt + run.mean / 2  # of a row while it grows
    room = rollout.cache // (rollout.of_a_token * (run.prompt + run.mean))
    at_once = max(1.0, min(answers, room, run.most_requests))
    read = shape.parameters * NUMBER / run.tensor_parallel + at_once * rollout.of_a_token * mean
    operations = forward_operations(shape, at_once, mean, at_once) / run.tensor_parallel
    a_step = max(read / (device.bandwidth * BANDWIDTH), operations / (device.flops * UTILIZATION))
    prompts = forward_operations(shape, answers * run.prompt / run.samples, run.prompt / 2, 0)
    filling = prompts / (run.tensor_parallel * device.flops * UTILIZATION)
    return run.mean * answers / at_once * a_step + filling
