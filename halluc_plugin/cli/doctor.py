"""The command ``halluc doctor``, which checks that everything is installed, registered and ready."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli import plan as planned
from halluc_plugin.cli.data_options import TrustRemoteCode
from halluc_plugin.cli.help import SETUP, examples, refuse

if TYPE_CHECKING:
    from halluc_plugin.checks import Check

NAME_WIDTH = 34
STYLES = {
    # status -> sign, style
    "ok": ("✓", "green"),
    "warn": ("!", "yellow"),
    "fail": ("✗", "bold red"),
    "absent": ("–", "dim"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "doctor",
        rich_help_panel=SETUP,
        epilog=examples(
            "halluc doctor",
            "halluc doctor --model my-model --engine",
            "halluc doctor --plan my-model --gpus 8 --response 4096 --n 8 --tp 2",
        ),
    )(doctor)


def doctor(
    model: Annotated[
        str | None,
        typer.Option(help="A model folder or hub name to examine too.", metavar="PATH", show_default="none"),
    ] = None,
    engine: Annotated[
        bool, typer.Option("--engine", help="Also try whether vLLM rewinds exactly (half a minute).")
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, all rooms at the end.")] = False,
    plan: planned.ModelToPlan = None,
    gpus: planned.Gpus = None,
    train_batch: planned.TrainBatch = None,
    n: planned.Answers = None,
    prompt: planned.Prompt = None,
    response: planned.Response = None,
    mean_response: planned.MeanResponse = None,
    tokens_per_gpu: planned.TokensPerGpu = None,
    micro_batch: planned.MicroBatch = None,
    no_checkpointing: planned.NoCheckpointing = False,
    model_dtype: planned.ModelDtype = None,
    offload_weights: planned.OffloadWeights = False,
    offload_optimizer: planned.OffloadOptimizer = False,
    reference: planned.Reference = False,
    fsdp_size: planned.FsdpSize = None,
    lora_rank: planned.LoraRank = None,
    tp: planned.TensorParallel = None,
    memory_utilization: planned.MemoryUtilization = None,
    device: planned.DeviceName = None,
    device_memory: planned.DeviceMemory = None,
    rollout_speed: planned.RolloutSpeed = None,
    update_speed: planned.UpdateSpeed = None,
) -> None:
    """Check the installation, and a model's readiness; exit 1 when a line is red. Or plan a run."""
    asked = {
        "gpus": gpus, "train_batch": train_batch, "n": n, "prompt": prompt, "response": response,
        "mean_response": mean_response, "tokens_per_gpu": tokens_per_gpu, "micro_batch": micro_batch,
        "no_checkpointing": no_checkpointing, "model_dtype": model_dtype, "offload_weights": offload_weights,
        "offload_optimizer": offload_optimizer, "reference": reference, "fsdp_size": fsdp_size,
        "lora_rank": lora_rank, "tp": tp, "memory_utilization": memory_utilization, "device": device,
        "device_memory": device_memory, "rollout_speed": rollout_speed, "update_speed": update_speed,
    }  # fmt: skip
    if plan is not None:
        refuse(
            {"model": model, "engine": engine or None}, "with --plan",
            "Leave it out: a plan examines nothing, and its model is that of --plan.",
        )  # fmt: skip
        made = planned.make(plan, asked, trust_remote_code=trust_remote_code)
        (planned.echo_json if as_json else planned.show)(made)
        return
    planned.refuse_without_plan(asked)
    _examine(model, engine=engine, trust_remote_code=trust_remote_code, as_json=as_json)


def _examine(model: str | None, *, engine: bool, trust_remote_code: bool, as_json: bool) -> None:
    from rich.console import Console

    from halluc_plugin.doctor import examine, healthy, visit

    with Console(stderr=True).status("Importing vLLM, verl and lm-eval, in Pythons of their own ..."):
        if as_json:
            rooms = examine(model, engine=engine, trust_remote_code=trust_remote_code)
            found = {room: [asdict(check) for check in lines] for room, lines in rooms.items()}
            typer.echo(json.dumps(found, indent=2))
        else:
            rooms = {}
            for room, lines in visit(model, engine=engine, trust_remote_code=trust_remote_code):
                print_checks({room: lines})
                rooms[room] = lines
    if not healthy(rooms):
        raise typer.Exit(1)


def print_checks(rooms: "dict[str, list[Check]]") -> None:
    """Print the lines of each room, each followed by its fix; no line is wrapped or cut."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for room, lines in rooms.items():
        console.print(Text(room, "bold"))
        for check in lines:
            sign, style = STYLES[check.status]
            line = Text.assemble("  ", (sign, style), f" {check.name:<{NAME_WIDTH}}  {check.detail}".rstrip())
            console.print(line, soft_wrap=True)
            if check.fix:
                console.print(Text.assemble("      ", (f"-> {check.fix}", "italic")), soft_wrap=True)
