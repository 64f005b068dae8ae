"""The result of a check and what to do about it: the lines of ``halluc doctor``."""

from dataclasses import dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """The outcome of a check."""

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
        status: The outcome of the check.
        detail: What was found, with the values.
        fix: What the user should do, as an imperative sentence. It is empty when there is nothing to do.
    """

    name: str
    status: CheckStatus
    detail: str
    fix: str = ""
