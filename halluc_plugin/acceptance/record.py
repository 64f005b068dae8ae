"""Run checks one after the other, and write down what they found."""

import json
import math
import platform
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from halluc_plugin import __version__
from halluc_plugin.atomic_files import write_whole
from halluc_plugin.doctor.packages import HOSTS, installed_version
from halluc_plugin.errors import in_one_line

GIB = 2**30


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        outcome: What became of it.
        figures: What it measured, JSON-able values by name; units are in the names.
        why: Why it failed or was skipped; empty if it passed.
    """

    outcome: Outcome
    figures: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


Check = Callable[[], Finding]


def judged(figures: Mapping[str, Any], bars: Mapping[str, float]) -> Finding:
    """Return the finding of a check whose figures may not be above bars.

    Args:
        figures: What was measured, by name.
        bars: The largest accepted value of some of the figures. A value that is not a number fails.
    """
    above = [f"{name} is {figures[name]:.3g}, above {bar:g}" for name, bar in bars.items()
             if not figures[name] <= bar]  # fmt: skip
    found = {**figures, "bars": dict(bars)}
    return Finding(Outcome.FAILED if above else Outcome.PASSED, found, "; ".join(above))


def skipped(why: str) -> Finding:
    """Return the finding of a check that was not run, and why."""
    return Finding(Outcome.SKIPPED, why=why)


def run_checks(
    checks: Mapping[str, Check],
    out: Path,
    *,
    part: str,
    device: torch.device,
    seconds: float,
    tell: Callable[[str], None],
) -> bool:
    """Run checks and write what they found, after each of them.

    A check that raises has failed, and the next one is run.

    Args:
        checks: The checks by name.
        out: The JSON file to write.
        part: The name of the checks together.
        device: The device that they are run on.
        seconds: No check is begun after so many; those that are left have failed.
        tell: Is given a line on each check.

    Returns:
        Whether none has failed.

    Raises:
        SettingsError: The file cannot be written.
    """
    began = monotonic()
    record: dict[str, Any] = {
        "part": part, "passed": None, "seconds": 0.0, "halluc": __version__, "commit": _commit(),
        "hardware": hardware(device), "versions": versions(), "checks": [],
    }  # fmt: skip
    write_whole(out, _text(record))
    for name, check in checks.items():
        start = monotonic()
        late = start - began > seconds
        found = Finding(Outcome.FAILED, why=f"not begun within {seconds:g} s") if late else _tried(check)
        took = monotonic() - start
        line = {"name": name, "outcome": found.outcome, "why": found.why, "seconds": round(took, 2)}
        record["checks"].append(line | {"figures": _finite(found.figures)})
        record["seconds"] = round(monotonic() - began, 2)
        tell(f"{found.outcome:8} {name:26} {took:6.1f} s  {found.why or _told(found.figures)}")
        write_whole(out, _text(record))
    record["passed"] = all(line["outcome"] != Outcome.FAILED for line in record["checks"])
    write_whole(out, _text(record))
    return bool(record["passed"])


def _tried(check: Check) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever a host raises is a finding
        return Finding(Outcome.FAILED, why=in_one_line(error))


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=1) + "\n"


def _finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures with null where JSON has no number."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in figures.items()
    }


def _told(figures: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    return ", ".join(f"{name} {value:.3g}" for name, value in shown.items())


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the names and sizes of the device and its host, as JSON-able values."""
    found: dict[str, Any] = {"device": device.type, "cpu": _cpu_name(), "system": platform.platform()}
    if device.type != "cpu":
        module = torch.get_device_module(device)
        properties = module.get_device_properties(device)
        found |= {
            "name": module.get_device_name(device), "count": module.device_count(),
            "memory_gib": round(properties.total_memory / GIB, 1),
        }  # fmt: skip
        if hasattr(module, "get_device_capability"):
            found["capability"] = str(module.get_device_capability(device))
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def versions() -> dict[str, str]:
    """Return the versions of Python, torch's own libraries, and the hosts that are installed."""
    found = {"python": platform.python_version()}
    for host in HOSTS:
        for name in host.distributions:
            if (installed := installed_version(name)) is not None:
                found[name] = str(installed)
    own = {"cuda": torch.version.cuda, "hip": torch.version.hip, "cudnn": torch.backends.cudnn.version()}
    return found | {name: str(value) for name, value in own.items() if value is not None}


def _commit() -> str | None:
    """The commit of the checkout, "+" behind it where files differ; None where there is no checkout."""
    here = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
