"""The CPU as a platform of verl, registered by importing this module.

verl chooses it when ``VERL_PLATFORM=cpu`` says so, or when none of the platforms registered before it is
available by verl's own probe. It offers itself only where that probe tells about the whole run: not in a
worker of Ray, whose node may have no accelerator while others do, and not when a Ray address is given.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry, get_platform


def is_cpu_run() -> bool:
    """Return whether verl runs on the CPU platform in this process."""
    return get_platform().device_name == "cpu"


def may_choose_cpu() -> bool:
    """Return whether this process may conclude from its own host that the run has no accelerator."""
    if os.environ.get("RAY_ADDRESS"):
        return False
    # The driver exports its choice; a worker without it belongs to a cluster that others set up.
    in_ray_worker = os.path.basename(sys.argv[0] if sys.argv else "") == "default_worker.py"  # noqa: PTH119
    return not in_ray_worker


class _CpuModule(ModuleType):
    """``torch.cpu`` with the memory and random-state functions that verl expects of a device module."""

    def __init__(self) -> None:
        super().__init__("torch.cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def __eq__(self, other: object) -> bool:
        return other is self or other is torch.cpu  # verl compares with torch.cpu

    def __hash__(self) -> int:
        return hash(torch.cpu)

    def empty_cache(self) -> None:
        """Nothing is cached."""

    def ipc_collect(self) -> None:
        """Nothing is shared."""

    def memory_allocated(self, *_: Any) -> int:
        """Unknown on CPU, reported as 0 bytes."""
        return 0

    memory_reserved = max_memory_allocated = max_memory_reserved = memory_allocated

    def reset_peak_memory_stats(self, *_: Any) -> None:
        """No peak is kept."""

    def mem_get_info(self, *_: Any) -> tuple[int, int]:
        """Free and total bytes of the host's memory."""
        page = os.sysconf("SC_PAGE_SIZE")
        return os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page

    def get_rng_state(self, *_: Any) -> torch.Tensor:
        """State of the CPU generator."""
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, *_: Any) -> None:
        """Restore the CPU generator."""
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        """Seed the CPU generator."""
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_device_name(self, *_: Any) -> str:
        """Name of the device."""
        return "cpu"


_CPU_MODULE = _CpuModule()


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """One CPU, presented to Ray as one GPU so that verl's placement works unchanged."""

    @property
    def device_name(self) -> str:
        """The name of the device for torch, ``cpu``."""
        return "cpu"

    @property
    def vendor_name(self) -> str:
        """The name of the vendor, ``cpu``."""
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        """The module of the device, with the functions that verl expects."""
        return _CPU_MODULE

    def is_available(self) -> bool:
        """Return True, since there is always a CPU."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:  # noqa: ARG002 - the base class's signature
        """Return whether verl may choose the CPU by itself here; see the module docstring."""
        return may_choose_cpu()

    def current_device(self) -> Any:
        """Return the torch device; an index would be wrong, as ``tensor.to(0)`` means cuda:0."""
        return torch.device("cpu")

    def device_count(self) -> int:
        """Return the number of devices, 1."""
        return 1

    def set_device(self, device_index: int) -> None:
        """Do nothing, since there is only one device."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Do nothing, since CPU work is synchronous."""

    def manual_seed(self, seed: int) -> None:
        """Seed torch's CPU generator."""
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seed torch's CPU generator."""
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Do nothing, since the CPU allocator has no settings."""

    def empty_cache(self) -> None:
        """Do nothing, since nothing is cached."""

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:  # noqa: ARG002
        """Return a pair of None, since a CPU has no compute capability."""
        return None, None

    def communication_backend_name(self) -> str:
        """Return the name of torch's communication backend, ``gloo``."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """Return the name of the variable that Ray sets for the CPU, which it takes for a GPU."""
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:  # noqa: ARG002 - the base class's signature
        """Run the block without marking a range, since there is no profiler."""
        yield

    def profiler_start(self) -> None:
        """Do nothing, since there is no device profiler."""

    def profiler_stop(self) -> None:
        """Do nothing, since there is no device profiler."""

    def ray_resource_name(self) -> str:
        """Return the name of Ray's resource under which the CPU is presented, ``GPU``."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """Return the variables that keep Ray from setting visible devices, none."""
        return []

    def is_ipc_supported(self) -> bool:
        """Return False, since weights travel through shared memory."""
        return False

    def cudart(self) -> Any:
        """Return None, since there is no CUDA runtime."""
        return None
