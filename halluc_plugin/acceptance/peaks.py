"""Measure the largest sum of bytes that tensors take while something is done."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Return the peak of what is allocated in a call, beyond what there was when it began, in bytes.

    On accelerators it is what their allocator tells, on a CPU what torch's profiler adds up.

    Args:
        step: What to do.
        device: The device that it allocates on.
    """
    if device.type != "cpu":
        module = torch.get_device_module(device)
        module.synchronize(device)
        module.reset_peak_memory_stats(device)
        before = module.memory_allocated(device)
        step()
        module.synchronize(device)
        return int(module.max_memory_allocated(device) - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    recorded = profiled.profiler
    assert recorded is not None
    events = [event for event in recorded.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak
