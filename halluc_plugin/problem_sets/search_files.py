"""Data sets of search tasks: problems with answers in steps, and traces through dead ends."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halluc_plugin.data.resumable import Progress
from halluc_plugin.problem_sets.files import (
    edit_vocab_or_none,
)
from halluc_plugin.problem_sets.search import SearchTask
from halluc_plugin.problem_sets.search_trace_settings import (
    Memory,
    SearchEdit,
    SearchTraceSettings,
    TakenBack,
)
from halluc_plugin.problem_sets.search_traces import SearchTraceWriter
from halluc_plugin.problem_sets.step_files import Amounts, DrawnData, StepFiles, write_problems
from halluc_plugin.problem_sets.steps import ProblemSet


class SearchProblems(ProblemSet):
    """A kind of problem that is searched: a frozen dataclass, like every :class:`ProblemSet`."""

    @property
    @abstractmethod
    def search(self) -> SearchTask[Any]:
        """The search task of the problems."""


@dataclass(frozen=True)
class SearchRequest(Amounts):
    """How many problems to write, and the form of the traces through dead ends.

    Args:
        traces: The form of the traces.
    """

    traces: SearchTraceSettings = field(default_factory=SearchTraceSettings)


@dataclass(frozen=True)
class SearchData(DrawnData):
    """A data set of a search task.

    Args:
        problems: The kind of problems.
        request: How many problems to write, and the form of the traces.
    """

    problems: SearchProblems
    request: SearchRequest = field(default_factory=SearchRequest)

    @property
    def edit(self) -> SearchEdit | None:
        """The edit that takes back in its traces; None for no edits."""
        traces = self.request.traces
        return traces.edit if self.request.backtracking and traces.edit is not SearchEdit.WORDS else None

    def write(
        self,
        folder: Path,
        tokenizer: Any | None,
        progress: Progress,
        *,
        workers: int = 1,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> StepFiles:
        """Write the data set; see :func:`halluc_plugin.problem_sets.step_files.write_steps`."""
        return write_problems(
            folder, self.problems, self.request, self._writer(tokenizer),
            tokenizer=tokenizer, progress=progress, kinds=self._kinds,
            pairing=self.request.traces.pairing, workers=workers, template_kwargs=template_kwargs,
        )  # fmt: skip

    @property
    def _kinds(self) -> list[TakenBack]:
        """What may be taken back: dead ends that are new, and by these settings tried again, or not dead."""
        traces = self.request.traces
        again = traces.memory is Memory.TRIED and (traces.repeats or traces.false_alarms)
        return [
            TakenBack.NEW,
            *([TakenBack.REPEATED] if again else []),
            *([TakenBack.LIVE] if traces.false_alarms else []),
        ]

    def _writer(self, tokenizer: Any | None) -> SearchTraceWriter[Any] | None:
        if tokenizer is None:
            return None
        edits = self.request.backtracking > 0
        vocab = edit_vocab_or_none(tokenizer, edits=self.edit is not None)
        # Clean traces take nothing back: by token, which every vocabulary can.
        plain = SearchTraceSettings(edit=SearchEdit.TOKEN)
        settings = self.request.traces if edits else plain
        return SearchTraceWriter(tokenizer, vocab, self.problems.search, settings)
