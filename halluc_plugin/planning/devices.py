"""List accelerators with what their data sheets say, since a plan is made where there is none."""

from dataclasses import dataclass

from halluc_plugin.errors import SettingsError


@dataclass(frozen=True)
class Device:
    """One accelerator.

    Attributes:
        name: Its name.
        memory: Memory in bytes.
        flops: Dense products in bfloat16, in operations a second, without sparsity.
        bandwidth: Bandwidth of the memory in bytes a second.
    """

    name: str
    memory: float
    flops: float
    bandwidth: float


DEVICES = {
    sheet.name: sheet
    for sheet in (
        Device("a100", 80e9, 312e12, 2.039e12),
        Device("h100", 80e9, 989e12, 3.35e12),
        Device("h200", 141e9, 989e12, 4.8e12),
    )
}
"""NVIDIA's data sheets of the A100 80GB SXM, the H100 SXM and the H200 SXM (half of the figures "with
sparsity" where only those are given)."""


def device(name: str, memory_gb: float | None = None) -> Device:
    """Return a device of the list, with another memory where that is given.

    Args:
        name: Its name.
        memory_gb: Memory in units of 10^9 bytes; None for that of the list.

    Raises:
        SettingsError: There is no such device, or the memory is not positive.
    """
    if name not in DEVICES:
        raise SettingsError(
            f"There is no device {name!r} in the list.",
            f"Give one of {', '.join(DEVICES)}, and --device-memory where yours has another size.",
        )
    known = DEVICES[name]
    if memory_gb is None:
        return known
    if not memory_gb > 0:
        raise SettingsError(f"A device with {memory_gb:g} GB of memory.", "Give a number above 0.")
    return Device(name, memory_gb * 1e9, known.flops, known.bandwidth)
