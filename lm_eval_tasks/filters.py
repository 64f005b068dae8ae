"""The first steps of each pipeline: choose the text of a trace, and find the answer in it."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from lm_eval.api.filter import Filter, FilterEnsemble
from lm_eval.api.registry import register_filter
from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.tasks.evaluation import findings
from lm_eval_tasks.trace import Trace, TraceReader


class _TextOfTrace(Filter):
    """Turns traces into text and cuts it.

    Halluc's tasks pass traces to it. In another YAML it gets the answers themselves, and refuses one with
    edit tokens, for which it lacks the tokenizer.

    Args:
        until: The text ends before the first of these: the stop strings that the stock task gives to the
            engine. Here they come after collapsing, since text that is taken back must not stop an answer.
    """

    def __init__(self, until: Sequence[str] = ()) -> None:
        super().__init__()
        self._until = list(until)

    def apply(
        self,
        resps: Iterable[Sequence[str | Trace]],
        docs: Sequence[dict[str, Any]],  # noqa: ARG002 - the host's signature
    ) -> list[list[str]]:
        """The texts, nested like the answers."""
        return [[self._cut(answer) for answer in answers] for answers in resps]

    def _cut(self, answer: str | Trace) -> str:
        return postprocess_generated_text(self.text(TraceReader(None).read(answer)), self._until, None)

    def text(self, trace: Trace) -> str:
        """Which of a trace's texts."""
        raise NotImplementedError


@register_filter("halluc_collapsed")
class Collapsed(_TextOfTrace):
    """Passes on the text that is left after all edits."""

    def text(self, trace: Trace) -> str:
        """Return the resolved text."""
        return trace.resolved


@register_filter("halluc_raw")
class Raw(_TextOfTrace):
    """Passes on the text as sampled, edit tokens included, which the stock task would have scored."""

    def text(self, trace: Trace) -> str:
        """Return the raw text."""
        return trace.raw


class Findings(Filter):
    """Finds a regular expression in a text by :func:`halluc_plugin.tasks.evaluation.findings`.

    Args:
        pattern: The regular expression.
    """

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern

    def apply(
        self,
        resps: Iterable[Sequence[str]],
        docs: Sequence[dict[str, Any]],  # noqa: ARG002 - the host's signature
    ) -> list[list[str]]:
        """Return the findings of each text, nested like the texts."""
        return [[findings(self._pattern, text) for text in texts] for texts in resps]


def without_stops(pipeline: FilterEnsemble) -> FilterEnsemble:
    """Return a pipeline without the stop strings of its filters."""
    steps = [
        partial(step, until=()) if _makes_text(getattr(step, "func", step)) else step
        for step in pipeline.filters
    ]
    return FilterEnsemble(pipeline.name, steps)


def _makes_text(step: Any) -> bool:
    return isinstance(step, type) and issubclass(step, _TextOfTrace)
