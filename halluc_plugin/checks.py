"""What a check found and what to do about it: the lines of ``halluc doctor``."""

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """How a check ended."""

    OK = "ok"
    """Nothing to do."""
    WARN = "warn"
    """Works, with a risk or a loss that the detail names."""
    FAIL = "fail"
    """Does not work; the fix says what to do."""
    ABSENT = "absent"
    """Concerns an optional host that is not installed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report.

    Args:
        name: What was checked.
        status: How it ended.
        detail: What was found, with the values.
        fix: What to do, as an imperative sentence; empty when there is nothing to do.
    """

    name: str
    status: CheckStatus
    detail: str
    fix: str = ""
