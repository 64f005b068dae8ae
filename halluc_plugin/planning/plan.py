"""Put a run's plan together, side by side for GRPO without edits, and for soft and hard context."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.hard.models import require_full_attention
from halluc_plugin.planning.devices import Device
from halluc_plugin.planning.rollout import RolloutMemory, rollout_memory
from halluc_plugin.planning.run import PlannedRun
from halluc_plugin.planning.seconds import BANDWIDTH, UTILIZATION, Rates, StepSeconds, step_seconds
from halluc_plugin.planning.shapes import ModelShape, read_shape
from halluc_plugin.planning.update import Mask, Reading, UpdateMemory, update_memory


class Kind(StrEnum):
    """What kind of run is planned.

    - ``grpo``: GRPO without edits: verl's engine.
    - ``soft``: Soft context without limits on edits: verl's engine, too.
    - ``soft_limited``: Soft context with limits (``halluc.max_backtracks``, ``halluc.boundary=mask``): ours.
    - ``hard``: Hard context: ours, rows packed.
    - ``hard_padded``: Hard context as it was until rows were packed.
    """

    GRPO = "grpo"
    SOFT = "soft"
    SOFT_LIMITED = "soft_limited"
    HARD = "hard"
    HARD_PADDED = "hard_padded"


SHOWN = (Kind.GRPO, Kind.SOFT, Kind.SOFT_LIMITED, Kind.HARD)

PARTS = {
    Kind.GRPO: (Reading.FUSED, Mask.CAUSAL),
    Kind.SOFT: (Reading.FUSED, Mask.CAUSAL),
    Kind.SOFT_LIMITED: (Reading.CHUNKS, Mask.CAUSAL),
    Kind.HARD: (Reading.CHUNKS, Mask.BLOCKS),
    Kind.HARD_PADDED: (Reading.PADDED, Mask.DENSE),
}


@dataclass(frozen=True)
class Column:
    """The plan of one kind of run.

    Attributes:
        update: What a device holds during an update.
        rollout: What it holds during rollout.
        seconds: How long a step takes.
        fits: Whether the larger of the two is within the device's memory.
        fix: What to change if it is not; empty if it is.
    """

    update: UpdateMemory
    rollout: RolloutMemory
    seconds: StepSeconds
    fits: bool
    fix: str


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        shape: The model's.
        run: The run's settings.
        device: The device.
        columns: The plan of each kind of run.
        refused: The kinds that the model cannot do, and why.
        assumptions: What is not measured, in sentences.
    """

    shape: ModelShape
    run: PlannedRun
    device: Device
    columns: dict[Kind, Column]
    refused: dict[Kind, str]
    assumptions: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return the plan as JSON-able values; bytes and seconds."""
        shape = {
            name: getattr(self.shape, name)
            for name in (
                "name",
                "kind",
                "parameters",
                "layers",
                "hidden",
                "rows",
                "tied",
                "kv_heads",
                "positions",
            )
        }
        columns = {
            kind: {
                "update": {**asdict(column.update), "peak": column.update.peak},
                "rollout": {**asdict(column.rollout), "peak": column.rollout.peak},
                "seconds": {**asdict(column.seconds), "total": column.seconds.total},
                "fits": column.fits,
                "fix": column.fix,
            }
            for kind, column in self.columns.items()
        }
        return {
            "model": shape,
            "run": asdict(self.run),
            "device": asdict(self.device),
            "columns": columns,
            "refused": dict(self.refused),
            "assumptions": list(self.assumptions),
        }


def plan_model(
    name: str, run: PlannedRun, device: Device, *, rates: Rates | None = None, trust_remote_code: bool = False
) -> Plan:
    """Return the plan of a model that lies on this machine, with the arguments of :func:`plan`.

    Args:
        name: A folder with a ``config.json``, or a name in Hugging Face's cache.
        run: The run's settings.
        device: The device.
        rates: The rates that were measured; None for assumed ones.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        SettingsError: There is no such model, or settings do not go with it or with one another.
    """
    return plan(read_shape(name, trust_remote_code=trust_remote_code), run, device, rates=rates)


def plan(
    shape: ModelShape,
    run: PlannedRun,
    device: Device,
    *,
    rates: Rates | None = None,
    kinds: Sequence[Kind] = SHOWN,
) -> Plan:
    """Return what a run will hold on each device, and how long a step will take.

    Args:
        shape: The model's.
        run: The run's settings.
        device: The device.
        rates: The rates that were measured; None for assumed ones.
        kinds: The kinds of runs to put side by side.

    Raises:
        SettingsError: Settings do not go with the model or with one another.
    """
    run.require_fits(shape)
    rates = rates or Rates()
    refused: dict[Kind, str] = {}
    try:
        require_full_attention(shape.config)
    except SettingsError as error:
        refused = {kind: str(error) for kind in kinds if kind in {Kind.HARD, Kind.HARD_PADDED}}
    columns = {kind: _column(shape, run, device, rates, kind) for kind in kinds if kind not in refused}
    return Plan(shape, run, device, columns, refused, _assumptions(run, rates))


def _column(shape: ModelShape, run: PlannedRun, device: Device, rates: Rates, kind: Kind) -> Column:
    reading, mask = PARTS[kind]
    update = update_memory(shape, run, reading, mask)
    stays = (0.0 if run.offload_weights else update.weights) + (
        0.0 if run.offload_optimizer else update.optimizer
    )
    rollout = rollout_memory(shape, run, device, stays)
    chunked = reading is Reading.CHUNKS
    seconds = step_seconds(shape, run, device, rollout, rates=rates, chunked=chunked)
    fix = _fix(run, device, update, rollout)
    return Column(update, rollout, seconds, not fix, fix)


def _fix(run: PlannedRun, device: Device, update: UpdateMemory, rollout: RolloutMemory) -> str:
    """What to change where a device has too little memory; empty where it has enough."""
    if update.peak > device.memory:
        state = update.weights + update.gradients + update.optimizer
        if state > device.memory / 2:
            return "take more devices, --model-dtype bf16 or --lora-rank"
        if not run.checkpointing:
            return "leave out --no-checkpointing"
        return "take fewer tokens a micro-batch (--tokens-per-gpu)"
    if rollout.peak > device.memory:
        return "lower --memory-utilization, or add --offload-optimizer and --offload-weights"
    return ""


def _assumptions(run: PlannedRun, rates: Rates) -> tuple[str, ...]:
    told = [
        "The largest moment counts, with answers of full length; CUDA, NCCL and fragments come on top.",
        "verl's engine reads log-probs by flash-attn; without it logits are held three times.",
        "In hard context the cache holds live text alone, never more than the raw trace.",
        "What scheduling synchronously costs in hard context is not measured.",
    ]
    if rates.update is None:
        told.append(
            f"Updates reach {UTILIZATION:g} of a device's operations (assumed): give --update-speed once "
            "measured."
        )
    if rates.rollout is None:
        told.append(
            f"Decoding reaches {BANDWIDTH:g} of a device's bandwidth (assumed): give --rollout-speed once "
            "measured."
        )
    if run.mean_response is None:
        told.append("Every answer has full length: give --mean-response once known.")
    return tuple(told)
