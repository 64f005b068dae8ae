"""lm-eval tasks that are made from what a task declares, and the YAML files that say the same."""

import re
import sys
from dataclasses import replace

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from halluc_plugin.errors import TaskError
from halluc_plugin.tasks import EvaluatedSplit, Evaluation, load
from lm_eval_tasks.declared import Function, configs, resolved, yaml_files
from lm_eval_tasks.filters import Findings
from lm_eval_tasks.path_command import PLACE
from lm_eval_tasks.verified import VerifiedTask

SPLIT = EvaluatedSplit(name="x_backtrack", split="test", what="problems")
EVALUATION = Evaluation(version="1.0", splits=(SPLIT,), max_tokens=8)


def with_evaluation(**changes):
    """A task with an evaluation."""
    return replace(load("chain"), name="x", eval=replace(EVALUATION, **changes))


@pytest.mark.parametrize(
    "name", ["addition", "chain", "countdown", "dag", "forbidden", "sat", "sudoku", "word"]
)
def test_files_say_what_is_declared(tmp_path, name):
    """lm-eval reads from each file the configuration that it would be handed without files."""
    made = configs(load(name))
    for file, text in yaml_files(load(name), "Written here.").items():
        (tmp_path / file).write_text(text)
        assert text.startswith("# Written here.\n")
    assert {file.stem for file in tmp_path.iterdir()} == made.keys()
    for task, config in made.items():
        assert load_yaml(tmp_path / f"{task}.yaml") == resolved(config)


def test_a_configuration_by_hand():
    """Names, splits, data, limits and pipelines come from the declaration."""
    other = EvaluatedSplit(
        name="x4_backtrack",
        split="new",
        what="larger ones",
        folder="x4",
        arguments=("--n", "4"),
        version="1.10",
    )
    made = configs(with_evaluation(splits=(SPLIT, other), extract="a b|c", target="{{ground_truth.t}}"))
    first, second = made.values()
    assert list(made) == ["x_backtrack", "x4_backtrack"] == [config["task"] for config in made.values()]
    assert (first["test_split"], second["test_split"]) == ("test", "new")
    assert first["generation_kwargs"]["max_gen_toks"] == 8
    assert first["doc_to_target"] == "{{ground_truth.t}}"
    assert first["metadata"]["version"] == 1.0
    assert second["metadata"] == {
        "version": "1.10",  # which no number is
        "local_rows": {
            "what": "larger ones", "folder": "x4", "splits": ["new"],
            "command": "halluc data x --n 4 --out FOLDER",
        },
    }  # fmt: skip
    filters = {step["name"]: [part["function"] for part in step["filter"]] for step in first["filter_list"]}
    names = {
        name: [getattr(part, "name", part).rpartition(".")[2] for part in parts]
        for name, parts in filters.items()
    }
    assert names == {
        "strict-match": ["Collapsed", "take_first"],
        "flexible-extract": ["Collapsed", "Findings", "take_first"],
        "strict-match-raw": ["Raw", "take_first"],
        "flexible-extract-raw": ["Raw", "Findings", "take_first"],
        "trace": ["take_first"],
    }
    assert resolved(first)["class"] is VerifiedTask


def test_splits_of_one_folder_are_there_together(tmp_path):
    """Data of a folder are written by one command, so a part of them is no data set."""
    new = replace(SPLIT, name="x_backtrack_new", split="new")
    made = configs(with_evaluation(splits=(SPLIT, new)))
    assert [config["metadata"]["local_rows"]["splits"] for config in made.values()] == [["test", "new"]] * 2


def test_without_an_evaluation_there_are_no_tasks():
    """Neither configurations nor files."""
    task = replace(load("chain"), eval=None)
    assert (configs(task), yaml_files(task, "")) == ({}, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": ()}, r"splits are named \[\]"),
        ({"splits": (SPLIT, SPLIT)}, r"splits are named \['x_backtrack', 'x_backtrack'\]"),
        ({"splits": (replace(SPLIT, name="gsm8k"),)}, "'gsm8k' has no _backtrack in it"),
        ({"extract": "("}, r"'\(' is no regular expression"),
    ],
)
def test_what_cannot_be_a_task_is_refused(changes, message):
    """The message names the task and the fault."""
    with pytest.raises(TaskError, match=f"task 'x' is declared wrongly: .*{message}"):
        configs(with_evaluation(**changes))


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\d+ *= *\d+", "first 1 = 1, then\n2=3 and 4 =5", "1=1\n2=3\n4=5"),
        (r"(\d)(\d)", "12 34", "12\n34"),  # groups do not matter
        (r"\d+", "none", ""),
    ],
)
def test_findings_by_hand(pattern, text, found):
    """One finding a line, without blanks, in the nesting of the answers."""
    assert Findings(pattern).apply([[text], [text, ""]], [{}, {}]) == [[found], [found, ""]]


def test_a_function_is_what_its_name_leads_to():
    """It is imported when a task is built, not before."""
    assert Function("re.compile").found() is re.compile


def test_old_names_of_countdown_are_there_with_a_warning(tmp_path, monkeypatch):
    """YAML of a user that names them still runs, and says what to write."""
    monkeypatch.delitem(sys.modules, "lm_eval_tasks.countdown_backtrack.task", raising=False)
    text = (PLACE / "countdown_backtrack" / "countdown_backtrack.yaml").read_text()
    old = "lm_eval_tasks.countdown_backtrack.task"
    text = text.replace("lm_eval_tasks.verified.VerifiedTask", f"{old}.CountdownTask")
    text = re.sub(r"lm_eval_tasks\.filters\.Findings'\n +pattern: .*", f"{old}.Equations'", text)
    (tmp_path / "old.yaml").write_text(text)
    with pytest.warns(FutureWarning, match=r"task\.\w+ is now lm_eval_tasks\.(verified|filters)") as told:
        config = load_yaml(tmp_path / "old.yaml")
    assert len(told) == 2
    assert issubclass(config["class"], VerifiedTask)
    step = config["filter_list"][1]["filter"][1]
    assert step["function"]().apply([["First 3 * 5 = 15."]], [{}]) == [["3*5=15"]]
