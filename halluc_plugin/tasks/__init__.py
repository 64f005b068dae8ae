"""Tasks: one folder for each, with its problems, its verifier and its traces."""

from halluc_plugin.tasks.registry import (
    check_rows,
    find_verifier,
    known_sources,
    require_verifier,
    truth_fault,
)

__all__ = ["check_rows", "find_verifier", "known_sources", "require_verifier", "truth_fault"]
