"""What a task declares: one object, from which all that the toolkit does with the task follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from halluc_plugin.tasks.evaluation import Evaluation
from halluc_plugin.verifiers import Verifier


class JudgedBy(StrEnum):
    """Who says in training whether an answer is right; search and data always ask the task's verifier."""

    TASK = "task"
    """The task's verifier."""
    HOST = "host"
    """verl's own scorer for the source, of which the verifier is a copy."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task.

    Attributes:
        name: Of its folder, its command ``halluc data NAME``, and the folder of its data.
        summary: What it is about, in a line without a full stop.
        sources: The ``data_source`` of its rows, one for each kind of problems that hosts are to tell apart.
        verifier: Judges answers, and prefixes if it is a :class:`halluc_plugin.verifiers.PrefixVerifier`.
        judged_by: Who judges in training.
        judges: Other verifiers by name, such as published ones; the lm-eval task takes one by its metadata.
        eval: What its lm-eval tasks are; None for none.
    """

    name: str
    summary: str
    sources: tuple[str, ...]
    verifier: Verifier
    judged_by: JudgedBy = JudgedBy.TASK
    judges: Mapping[str, Verifier] = field(default_factory=dict)
    eval: Evaluation | None = None
