"""Errors whose messages name the cause and the fix.

The tree:

    HallucError
    ├── EditVocabError     an edit vocabulary contradicts itself
    ├── TraceError         ids, masks or shapes of a trace are inconsistent
    ├── TokenizerError     a model or tokenizer cannot be loaded, lacks an edit token, or marks it special
    ├── SettingsError      a user's setting is unknown, out of range, or contradicts another
    ├── DataError          a data file is missing, malformed or empty
    ├── TaskError          a task is not known, cannot be imported, or is claimed by two packages
    ├── MetricError        a metric's inputs contradict each other or are out of range
    └── HostVersionError   a host (verl, vLLM, lm-eval) is outside the tested window
"""

import errno
import traceback

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The error numbers of a disk, a quota or a file that has no more room."""


def in_one_line(error: BaseException) -> str:
    """Return the kind and message of any exception in one line.

    An exception without a message, or whose message cannot be read, gives a line, too.
    """
    return " ".join("".join(traceback.format_exception_only(error)).split())


def is_disk_full(error: BaseException) -> bool:
    """Return whether an exception says that nothing more can be written for want of room.

    safetensors and pyarrow have exceptions of their own for it, which name the number in their text.
    """
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    text = str(error)
    return any(f"os error {number})" in text or f"[errno {number}]" in text.lower() for number in FULL)


class HallucError(Exception):
    """Base class of all errors raised on purpose; the message says what is wrong and what to do.

    Args:
        cause: What is wrong, with the offending value.
        fix: What the user can do about it, as an imperative sentence.
    """

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause} Fix: {fix}")
        self.cause = cause
        self.fix = fix

    def __reduce__(self) -> tuple[type["HallucError"], tuple[str, str]]:
        # Ray pickles exceptions across processes; the default would lose the second argument.
        return (type(self), (self.cause, self.fix))


class EditVocabError(HallucError, ValueError):
    """An edit vocabulary contradicts itself."""


class TraceError(HallucError, ValueError):
    """Ids, masks or shapes of a trace are inconsistent."""


class TokenizerError(HallucError, ValueError):
    """A model or tokenizer cannot be loaded, lacks an edit token, or marks it special."""


class SettingsError(HallucError, ValueError):
    """A setting is unknown, out of range, or contradicts another."""


class DataError(HallucError, ValueError):
    """A data file is missing, malformed or empty."""


class TaskError(HallucError, LookupError):
    """A task is not known, cannot be imported, or is claimed by two packages."""


class MetricError(HallucError, ValueError):
    """A metric's inputs contradict each other, or are out of range."""


class HostVersionError(HallucError, RuntimeError):
    """A host library is outside the tested window of versions."""
