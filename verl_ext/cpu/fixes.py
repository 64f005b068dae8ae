"""Change what verl 0.9.1 needs changed on a CPU, apart from the platform.

Each function is called right after its module of verl has been imported.
"""

import datetime as dt
import os
from types import ModuleType
from typing import Any

from verl_ext.cpu.platform import is_cpu_run


def export_platform(_vllm: ModuleType | None = None) -> None:
    """Pass the choice of the CPU platform on to every process started from here."""
    if is_cpu_run():
        os.environ["VERL_PLATFORM"] = "cpu"


def give_ray_time_to_start(_constants: ModuleType) -> None:
    """Give Ray more time to start on a CPU, and switch prestarting off.

    Busy cores need longer than Ray's default of half a minute, and gain nothing by prestarting.
    """
    export_platform()
    if is_cpu_run():
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
        os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
        os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")


def use_gloo_alone(distributed: ModuleType) -> None:
    """Make verl initialise process groups with gloo on a CPU.

    verl asks for ``cpu:gloo,cpu:gloo``, and torch refuses a device that is named twice.
    """
    if not is_cpu_run():
        return
    import torch

    def initialize_global_process_group_ray(
        timeout_second: float | None = None, backend: str | None = None
    ) -> None:
        if torch.distributed.is_initialized():
            return
        torch.distributed.init_process_group(
            backend=backend or "gloo",
            rank=int(os.environ.get("RANK", "0")),
            world_size=int(os.environ.get("WORLD_SIZE", "1")),
            timeout=None if timeout_second is None else dt.timedelta(seconds=timeout_second),
            init_method=os.environ.get("DIST_INIT_METHOD"),
        )

    def initialize_global_process_group(timeout_second: float = 36000) -> tuple[int, int, int]:
        # Without torchrun this is one process: `python -m verl.trainer.sft_trainer` then works as it stands.
        for name, value in {
            "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0",
        }.items():  # fmt: skip
            os.environ.setdefault(name, value)
        local_rank, rank, world = (int(os.environ[name]) for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"))
        torch.distributed.init_process_group(
            backend="gloo",
            rank=rank,
            world_size=world,
            timeout=dt.timedelta(seconds=timeout_second),
            init_method=os.environ.get("DIST_INIT_METHOD"),
        )
        return local_rank, rank, world

    distributed.initialize_global_process_group_ray = initialize_global_process_group_ray  # type: ignore[attr-defined]
    distributed.initialize_global_process_group = initialize_global_process_group  # type: ignore[attr-defined]


def offload_without_pinning(fsdp_utils: ModuleType) -> None:
    """Make verl offload a frozen reference model without pinned memory on a CPU.

    Pinned memory needs an accelerator.
    """
    if not is_cpu_run():
        return
    policy = fsdp_utils.CPUOffloadPolicy

    def unpinned(*_: Any, **__: Any) -> Any:
        return policy(pin_memory=False)

    fsdp_utils.CPUOffloadPolicy = unpinned  # type: ignore[attr-defined]
