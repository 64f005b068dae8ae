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
    """A task; what it is about is the first line of its module.

    Attributes:
        name: Of its folder, its command ``halluc data NAME``, and the folder of its data.
        verifier: Judges answers, and prefixes if it is a :class:`halluc_plugin.verifiers.PrefixVerifier`. Its
            data sources are the task's.
        judged_by: Who judges in training.
        judges: Other verifiers by name, such as published ones; the lm-eval task takes one by its metadata.
        eval: What its lm-eval tasks are; None for none.
    """

    name: str
    verifier: Verifier
    judged_by: JudgedBy = JudgedBy.TASK
    judges: Mapping[str, Verifier] = field(default_factory=dict)
    eval: Evaluation | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The ``data_source`` of its rows, one for each kind of problems that hosts are to tell apart."""
        return self.verifier.data_sources

    def fault(self, name: str) -> str | None:
        """What is wrong with the declaration, None for nothing.

        Args:
            name: What the task is known by.
        """
        if self.name != name:
            return f"it says that its name is {self.name!r}"
        if not isinstance(self.verifier, Verifier):
            return f"its verifier, {type(self.verifier).__name__}, has no verify and data_sources"
        named = isinstance(self.sources, tuple) and all(isinstance(s, str) and s for s in self.sources)
        if not self.sources or not named:
            return f"the data sources of its verifier are {self.sources!r}, not a tuple of names"
        return None
