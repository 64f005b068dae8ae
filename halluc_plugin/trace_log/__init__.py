"""Log some answers of a training run for reading: one JSONL file for each step, a few answers in each.

:mod:`.records` has the record of one answer and its versions, :mod:`.files` writes and reads the files.
``docs/traces.md`` shows one.
"""

from halluc_plugin.trace_log.files import FOLDER, TraceLog, logged_steps, read_step
from halluc_plugin.trace_log.records import (
    DIGITS,
    READ_VERSIONS,
    TRACE_LOG_VERSION,
    LoggedTrace,
    logged_trace,
    parsed_record,
    rounded,
)

__all__ = [
    "DIGITS",
    "FOLDER",
    "READ_VERSIONS",
    "TRACE_LOG_VERSION",
    "LoggedTrace",
    "TraceLog",
    "logged_steps",
    "logged_trace",
    "parsed_record",
    "read_step",
    "rounded",
]
