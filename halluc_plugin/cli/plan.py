"""What ``halluc doctor --plan`` is asked, and how it prints a plan."""

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli.tables import Table

if TYPE_CHECKING:
    from halluc_plugin.planning import Plan

PANEL = "Plan"
BYTES = 1e9


class Numbers(StrEnum):
    """Types of numbers, by verl's names."""

    fp32 = "fp32"
    bf16 = "bf16"


def _number(help_text: str, default: str, least: int = 1) -> Any:
    return typer.Option(help=help_text, show_default=default, rich_help_panel=PANEL, min=least)


def _flag(name: str, help_text: str) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel=PANEL)


ModelToPlan = Annotated[
    str | None,
    typer.Option(
        help="Print what GRPO of this model will hold and cost: a folder with a config.json, or a name in "
        "Hugging Face's cache. Nothing is loaded or examined.",
        metavar="MODEL",
        show_default="none",
        rich_help_panel=PANEL,
    ),
]
Gpus = Annotated[int | None, _number("Devices, all nodes together.", "8")]
TrainBatch = Annotated[int | None, _number("Prompts of a step (train_batch_size).", "1024")]
Answers = Annotated[int | None, _number("Answers to a prompt (rollout.n).", "8", 2)]
Prompt = Annotated[int | None, _number("Most tokens of a prompt (max_prompt_length).", "512")]
Response = Annotated[int | None, _number("Most tokens of a response (max_response_length).", "1024")]
MeanResponse = Annotated[int | None, _number("Mean tokens of an answer, for the time.", "that of --response")]
TokensPerGpu = Annotated[int | None, _number("Tokens of a micro-batch (ppo_max_token_len_per_gpu).", "16384")]
MicroBatch = Annotated[
    int | None,
    _number("Answers of a micro-batch, if their number is what is set.", "none"),
]
NoCheckpointing = Annotated[
    bool, _flag("--no-checkpointing", "Keep all activations (gradient checkpointing is off).")
]
ModelDtype = Annotated[
    Numbers | None,
    typer.Option(
        help="Type of weights, gradients and the optimizer's moments (model_dtype).",
        show_default="fp32",
        rich_help_panel=PANEL,
    ),
]
OffloadWeights = Annotated[
    bool, _flag("--offload-weights", "Weights are on the host in rollout (param_offload).")
]
OffloadOptimizer = Annotated[
    bool, _flag("--offload-optimizer", "The optimizer is on the host in rollout (optimizer_offload).")
]
Reference = Annotated[bool, _flag("--reference", "A reference model scores answers (use_kl_loss).")]
FsdpSize = Annotated[int | None, _number("Devices that share one copy of the weights (fsdp_size).", "all")]
LoraRank = Annotated[int | None, _number("Rank of low-rank updates (model.lora_rank).", "none", 0)]
TensorParallel = Annotated[int | None, _number("Devices of one engine (tensor parallelism).", "1")]
MemoryUtilization = Annotated[
    float | None,
    typer.Option(
        help="Share of a device for the engine (gpu_memory_utilization).",
        show_default="0.5",
        rich_help_panel=PANEL,
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option(
        help="Device: a100, h100 or h200.", metavar="NAME", show_default="h100", rich_help_panel=PANEL
    ),
]
DeviceMemory = Annotated[
    float | None,
    typer.Option(help="Memory of a device in GB.", show_default="its data sheet's", rich_help_panel=PANEL),
]
RolloutSpeed = Annotated[
    float | None,
    typer.Option(
        help="Actions that one device samples in a second, as measured.",
        show_default="assumed",
        rich_help_panel=PANEL,
    ),
]
UpdateSpeed = Annotated[
    float | None,
    typer.Option(
        help="Tokens that one device updates on in a second, as measured.",
        show_default="assumed",
        rich_help_panel=PANEL,
    ),
]


def refuse_without_plan(asked: dict[str, Any]) -> None:
    """Refuse options of a plan where none is asked for.

    Args:
        asked: The value of each of them; None or False where it was not given.

    Raises:
        SettingsError: One was given.
    """
    from halluc_plugin.errors import SettingsError

    given = [f"--{name.replace('_', '-')}" for name, value in asked.items() if value not in {None, False}]
    if given:
        raise SettingsError(f"{', '.join(given)} without --plan.", "Add --plan MODEL, or leave it out.")


def make(model: str, asked: dict[str, Any], *, trust_remote_code: bool) -> "Plan":
    """Return the plan that is asked for.

    Args:
        model: Folder or name.
        asked: The options by the names that the command has for them.
        trust_remote_code: Whether code that comes with the model may run.
    """
    from halluc_plugin.planning import PlannedRun, device, plan_model
    from halluc_plugin.planning.run import Number
    from halluc_plugin.planning.seconds import Rates

    names = {
        "gpus": "gpus", "train_batch": "prompts", "n": "samples", "prompt": "prompt", "response": "response",
        "mean_response": "mean_response", "tokens_per_gpu": "tokens_per_gpu", "micro_batch": "micro_batch",
        "fsdp_size": "fsdp_size", "lora_rank": "low_rank", "tp": "tensor_parallel",
        "memory_utilization": "memory_utilization",
    }  # fmt: skip
    given = {field: asked[name] for name, field in names.items() if asked[name] is not None}
    if asked["model_dtype"] is not None:
        given["weights"] = Number(asked["model_dtype"].value)
    run = PlannedRun(
        **given, checkpointing=not asked["no_checkpointing"], offload_weights=asked["offload_weights"],
        offload_optimizer=asked["offload_optimizer"], reference=asked["reference"],
    )  # fmt: skip
    rates = Rates(asked["rollout_speed"], asked["update_speed"])
    chosen = device(asked["device"] or "h100", asked["device_memory"])
    return plan_model(model, run, chosen, rates=rates, trust_remote_code=trust_remote_code)


HEADINGS = {"grpo": "GRPO", "soft": "soft", "soft_limited": "soft, edits limited", "hard": "hard"}


def show(plan: "Plan") -> None:
    """Print a plan as tables, with what is assumed below them."""
    from rich.console import Console

    console = Console()
    shape, run = plan.shape, plan.run
    console.print(
        f"{shape.name}: {shape.kind}, {shape.parameters / BYTES:.3g} G parameters, {shape.rows} tokens; "
        f"{run.gpus} x {plan.device.name} of {plan.device.memory / BYTES:g} GB; {run.answers} answers of up "
        f"to {run.response} tokens, micro-batches of {run.tokens}.",
        soft_wrap=True,
        markup=False,
    )
    console.print(_memory(plan))
    console.print(_seconds(plan))
    for kind, why in plan.refused.items():
        console.print(f"{HEADINGS[kind]}: refused. {why}", soft_wrap=True, markup=False, style="red")
    for kind, column in plan.columns.items():
        if not column.fits:
            told = f"{HEADINGS[kind]} does not fit: {column.fix}."
            console.print(told, soft_wrap=True, markup=False, style="bold red")
    for sentence in plan.assumptions:
        console.print(f"- {sentence}", soft_wrap=True, markup=False, style="dim")


def echo_json(plan: "Plan") -> None:
    """Print a plan as JSON."""
    typer.echo(json.dumps(plan.record(), indent=2))


def _memory(plan: "Plan") -> Table:
    headings = [HEADINGS[kind] for kind in plan.columns]
    table = Table("GB on each device", *headings, numbers=headings)
    columns = list(plan.columns.values())
    updates = [{**asdict(column.update), "peak": column.update.peak} for column in columns]
    for name, told in (
        ("weights", "weights"), ("gradients", "gradients"), ("optimizer", "optimizer"),
        ("activations", "activations"), ("mask", "attention mask"), ("logits", "logits, while they are read"),
        ("at_head", "all, when the head is read"), ("at_layers", "all, in the last layer's backward"),
        ("at_end", "all, at the end of the backward"), ("at_step", "all, in the optimizer's step"),
        ("peak", "update: the largest"),
    ):  # fmt: skip
        table.add_row(told, *(_size(update[name]) for update in updates))
    rollouts = [{**asdict(column.rollout), "peak": column.rollout.peak} for column in columns]
    for name, told in (
        ("trainer", "trainer in rollout"), ("weights", "engine's weights"),
        ("working", "engine's forward pass"), ("cache", "KV cache"), ("peak", "rollout: the sum"),
    ):  # fmt: skip
        table.add_row(told, *(_size(rollout[name]) for rollout in rollouts))
    table.add_row("answers of full length at once", *(str(column.rollout.at_once) for column in columns))
    table.add_row("fits", *("yes" if column.fits else "NO" for column in columns))
    return table


def _size(count: float) -> str:
    size = count / BYTES
    return "0" if not count else f"{size:.1f}" if size >= 0.05 else f"{size:.1g}"


def _seconds(plan: "Plan") -> Table:
    headings = [HEADINGS[kind] for kind in plan.columns]
    table = Table("seconds of a step", *headings, numbers=headings)
    steps = [{**asdict(column.seconds), "total": column.seconds.total} for column in plan.columns.values()]
    for name, told in (
        ("rollout", "rollout"), ("old_log_probs", "log-probs before the update"), ("reference", "reference"),
        ("update", "update"), ("total", "step"),
    ):  # fmt: skip
        table.add_row(told, *(f"{step[name]:.3g}" for step in steps))
    return table
