"""Make lm-eval's tasks on generated problems from the evaluations that tasks declare.

A configuration of lm-eval is made here once and used twice: written as YAML (for halluc's tasks by ``make
docs``, for all tasks by ``halluc lm-eval-path``), and passed to lm-eval as it is, for tasks of other
packages.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import yaml

from halluc_plugin.errors import TaskError
from halluc_plugin.tasks import EvaluatedSplit, Evaluation, Task

Config = dict[str, Any]

MARK = "_backtrack"
"""Part of every name, so that it cannot be taken for a task of lm-eval's own."""
END_MARKERS = ("</s>", "<|im_end|>")
"""The texts that mark the end of an answer. No other stop string is used: one inside text that is later taken
back must not cut."""
WIDTH = 110


@dataclass(frozen=True)
class Function:
    """A function that lm-eval is to import, by its dotted name."""

    name: str

    def found(self) -> Any:
        """Import and return the function."""
        module, _, attribute = self.name.rpartition(".")
        return getattr(import_module(module), attribute)


TASK_CLASS = Function("lm_eval_tasks.verified.VerifiedTask")
COLLAPSED = Function("lm_eval_tasks.filters.Collapsed")
RAW = Function("lm_eval_tasks.filters.Raw")
FINDINGS = Function("lm_eval_tasks.filters.Findings")


def configs(task: Task) -> dict[str, Config]:
    """Return the configuration of each split by the name of its lm-eval task.

    The result is empty if the task declares no evaluation.

    Raises:
        TaskError: The evaluation cannot be made into an lm-eval task.
    """
    if task.eval is None:
        return {}
    if fault := _fault(task.eval):
        raise TaskError(f"The evaluation of the task {task.name!r} is declared wrongly: {fault}.", "Mend it.")
    return {split.name: _config(task.name, task.eval, split) for split in task.eval.splits}


def resolved(part: Any) -> Any:
    """Return a configuration, or a part of one, with its functions imported."""
    if isinstance(part, Function):
        return part.found()
    if isinstance(part, Mapping):
        return {key: resolved(value) for key, value in part.items()}
    return [resolved(value) for value in part] if isinstance(part, list) else part


def yaml_files(task: Task, written_by: str) -> dict[str, str]:
    """Return the configurations as YAML files, by file name.

    Files after the first contain only how they differ from it.

    Args:
        task: The task.
        written_by: What writes the files and from what, for the line on top.
    """
    made = configs(task)
    if not made:
        return {}
    main, *_ = made
    files = {}
    for name, config in made.items():
        differing = {key: value for key, value in config.items() if value != made[main].get(key)}
        shown = config if name == main else {"include": f"{main}.yaml", **differing}
        text = yaml.dump(shown, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
        files[f"{name}.yaml"] = f"# {written_by}\n{text}"
    return files


def folder(task: Task) -> str:
    """Return the name of the folder of a task's files."""
    return f"{task.name}{MARK}"


def _fault(evaluation: Evaluation) -> str | None:
    names = [split.name for split in evaluation.splits]
    if not names or len(set(names)) < len(names):
        return f"its splits are named {names}"
    if unmarked := [name for name in names if MARK not in name]:
        return f"{unmarked[0]!r} has no {MARK} in it, and could be a task of lm-eval's own"
    try:
        re.compile(evaluation.extract or "")
    except re.error as error:
        return f"{evaluation.extract!r} is no regular expression ({error})"
    return None


def _config(task: str, evaluation: Evaluation, split: EvaluatedSplit) -> Config:
    return {
        "task": split.name,
        "class": TASK_CLASS,
        "output_type": "generate_until",
        "test_split": split.split,
        # A column of its own: a template would not leave the training prompt as it is.
        "doc_to_text": "prompt",
        "doc_to_target": evaluation.target,
        "target_delimiter": "",
        "num_fewshot": 0,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "generation_kwargs": {
            "until": list(END_MARKERS),
            "do_sample": False,
            "temperature": 0.0,
            "max_gen_toks": evaluation.max_tokens,
        },
        "repeats": 1,
        "filter_list": _pipelines(evaluation.extract),
        "metadata": {
            "version": _number(split.version or evaluation.version),
            "local_rows": _local_rows(task, evaluation, split),
        },
    }


def _pipelines(extract: str | None) -> list[Config]:
    first = {"function": "take_first"}
    found = [] if extract is None else [{"function": FINDINGS, "pattern": extract}]
    pipelines: list[Config] = []
    for text, ending in ((COLLAPSED, ""), (RAW, "-raw")):
        start = {"function": text}
        pipelines += [
            {"name": f"strict-match{ending}", "filter": [start, first]},
            {"name": f"flexible-extract{ending}", "filter": [start, *found, first]},
        ]
    return [*pipelines, {"name": "trace", "filter": [first]}]


def _local_rows(task: str, evaluation: Evaluation, split: EvaluatedSplit) -> Config:
    where = split.folder or task
    beside = [other.split for other in evaluation.splits if (other.folder or task) == where]
    return {
        "what": split.what,
        "folder": where,
        "splits": list(dict.fromkeys(beside)),
        "command": " ".join(("halluc data", task, *split.arguments, "--out FOLDER")),
    }


def _number(version: str) -> float | str:
    """Return a version as a number, as lm-eval's own tasks write it, if that loses nothing."""
    is_number = re.fullmatch(r"\d+\.\d+", version) is not None and str(float(version)) == version
    return float(version) if is_number else version


class _Dumper(yaml.SafeDumper):
    """Writes functions with lm-eval's tag, and a part that occurs twice twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the host's signature
        return True


_Dumper.add_representer(
    Function, lambda dumper, function: dumper.represent_scalar("!function", function.name)
)
