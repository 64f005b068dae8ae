"""The tasks: one folder for each, with its problems, its verifier and its traces.

A task of another package is a module with an entry point of the group ``halluc.tasks`` (:mod:`.registry`).
The first line of its docstring describes it in lists. Then it declares, in this order:

1. A :class:`ProblemSet`: a frozen dataclass with ``name``, ``sources`` and ``seed``. Its fields with a help
   (:func:`option`), and those that hold such (:func:`parts`), are options, others are none. ``draw`` makes a
   :class:`Problem` of its prompt, its truth and its steps. :class:`Sizes` give it a split of larger problems,
   a ``topic`` of each problem one of new topics. Splits, distinctness and seeds are taken care of.
2. ``wrong`` in it, where a wrong step can be made up: then there are traces in which one is written and taken
   back.
3. A verifier with the same sources; :class:`UniqueAnswerVerifier` makes one, prefixes and all, of problems
   with one right answer.
4. ``TASK = Task(name=..., verifier=..., data=StepData(...), eval=Evaluation(...))``.

Its data sources, its rewards in training, ``halluc data NAME`` and its lm-eval tasks follow from this
declaration.

Code that needs only names and verifiers does not import what tasks are written with (:mod:`.writing`).
"""

from typing import TYPE_CHECKING

from halluc_plugin.tasks.evaluation import EvaluatedSplit, Evaluation
from halluc_plugin.tasks.registry import (
    broken_note,
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

if TYPE_CHECKING:
    from halluc_plugin.tasks.writing import (
        Problem,
        ProblemSet,
        Sizes,
        StepData,
        StepRequest,
        StepTraceSettings,
        UniqueAnswerVerifier,
        option,
        parts,
    )

__all__ = [
    "EvaluatedSplit",
    "Evaluation",
    "JudgedBy",
    "Problem",
    "ProblemSet",
    "Sizes",
    "StepData",
    "StepRequest",
    "StepTraceSettings",
    "Task",
    "UniqueAnswerVerifier",
    "broken_note",
    "check_rows",
    "find_task",
    "find_verifier",
    "known_sources",
    "load",
    "names",
    "option",
    "parts",
    "require_verifier",
    "summary",
    "truth_fault",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from halluc_plugin.tasks import writing

        return getattr(writing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
