"""The names with which the module of a task is written, exported again by :mod:`halluc_plugin.tasks`."""

from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.step_files import StepData, StepRequest
from halluc_plugin.problem_sets.step_traces import StepTraceSettings
from halluc_plugin.problem_sets.steps import Problem, ProblemSet, Sizes
from halluc_plugin.verifiers.unique import UniqueAnswerVerifier

__all__ = [
    "Problem",
    "ProblemSet",
    "Sizes",
    "StepData",
    "StepRequest",
    "StepTraceSettings",
    "UniqueAnswerVerifier",
    "option",
    "parts",
]
