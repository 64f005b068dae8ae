"""The declaration of a task: one object, from which everything that is done with the task follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from halluc_plugin.tasks.evaluation import Evaluation
from halluc_plugin.verifiers import Verifier

if TYPE_CHECKING:
    from halluc_plugin.problem_sets.data_set import DataSet

TAKEN = ("out", "tokenizer", "workers", "trust_remote_code", "template", "quiet", "as_json", "json", "help")
"""The options that every ``halluc data NAME`` has."""


class JudgedBy(StrEnum):
    """The judge of answers in training; search and data generation always use the task's verifier."""

    TASK = "task"
    """The task's verifier."""
    HOST = "host"
    """verl's own scorer for the source, of which the verifier is a copy."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task; the first line of its module describes it.

    Attributes:
        name: Name of its folder, its command ``halluc data NAME``, and the folder of its data.
        verifier: Judges answers, and prefixes if it is a :class:`halluc_plugin.verifiers.PrefixVerifier`. Its
            data sources are the task's.
        judged_by: The judge of answers in training.
        judges: Other verifiers by name, such as published ones; the metadata of an lm-eval task can select
            one.
        data: The data set that ``halluc data NAME`` writes, with its options and their defaults; None for
            tasks whose problems come from elsewhere, which have no such command.
        examples: Options of that command that show what it can do; an empty text for the command without.
        old_options: Former names of its options and their present ones, such as ``--retry-rate`` and
            ``--rate``.
        eval: The description of its lm-eval tasks; None for none.
    """

    name: str
    verifier: Verifier
    judged_by: JudgedBy = JudgedBy.TASK
    judges: Mapping[str, Verifier] = field(default_factory=dict)
    data: "DataSet | None" = None
    examples: tuple[str, ...] = ("",)
    old_options: Mapping[str, str] = field(default_factory=dict)
    eval: Evaluation | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The ``data_source`` of its rows, one for each kind of problems that hosts are to tell apart."""
        return self.verifier.data_sources

    def fault(self, name: str) -> str | None:
        """Return what is wrong with the declaration, None if nothing is.

        Args:
            name: The name under which the task is registered.
        """
        if self.name != name:
            return f"it says that its name is {self.name!r}, but its entry point or folder is {name!r}"
        if not isinstance(self.verifier, Verifier):
            absent = [each for each in ("verify", "data_sources") if not hasattr(self.verifier, each)]
            return f"its verifier, {type(self.verifier).__name__}, has no {' and no '.join(absent)}"
        named = isinstance(self.sources, tuple) and all(isinstance(s, str) and s for s in self.sources)
        if not self.sources or not named:
            return f"the data sources of its verifier are {self.sources!r}, not a tuple of names"
        return None if self.data is None else self._data_fault(self.data)

    def _data_fault(self, data: "DataSet") -> str | None:
        from halluc_plugin.problem_sets.data_set import DataSet
        from halluc_plugin.problem_sets.options import fault
        from halluc_plugin.problem_sets.steps import ProblemSet

        if not isinstance(data, DataSet):
            return f"its data are a {type(data).__name__}, no DataSet"
        drawn = getattr(data, "problems", None)
        if isinstance(drawn, ProblemSet) and (drawn.name, drawn.sources) != (self.name, self.sources):
            return (
                f"its problems are those of {drawn.name!r} with the sources {drawn.sources!r}, "
                f"its verifier's are {self.sources!r}"
            )
        found = data.options()
        names = [(each.flag or f"--{each.name}").replace("_", "-") for each in found]
        if unknown := set(self.old_options.values()) - set(names):
            return f"old options stand for {', '.join(sorted(unknown))}, which it does not have"
        return fault(found, TAKEN)
