"""Tasks: one folder for each, with its problems, its verifier and its traces."""

from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.registry import (
    check_rows,
    find_task,
    find_verifier,
    known_sources,
    load,
    names,
    require_verifier,
    summary,
    truth_fault,
)
from halluc_plugin.tasks.task import JudgedBy, Task

__all__ = [
    "EvaluatedSplit",
    "Evaluation",
    "JudgedBy",
    "Task",
    "check_rows",
    "find_task",
    "find_verifier",
    "known_sources",
    "load",
    "names",
    "require_verifier",
    "summary",
    "truth_fault",
]
