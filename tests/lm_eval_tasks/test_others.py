"""lm-eval tasks that other packages declare."""

import pytest
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Entry, Kind

from lm_eval_tasks.others import add_to, declared


def manager(**metadata):
    """A TaskManager that knows nothing but what other packages declare."""
    tasks = TaskManager(include_defaults=False, metadata={key: str(value) for key, value in metadata.items()})
    add_to(tasks.task_index, ())
    return tasks


def test_a_task_without_a_file_is_scored(installed_here, run_pipelines, shouts, bytes_tokenizer):
    """Prompt, collapsed and raw scores come from the package's declaration and verifier."""
    installed_here()
    tasks = manager(data_dir=shouts, pretrained=bytes_tokenizer)
    assert list(tasks.task_index) == ["shout_backtrack", "shout_backtrack_long"]
    task = tasks.load("shout_backtrack")["tasks"]["shout_backtrack"]
    (doc,) = task.test_docs()
    assert (task.fewshot_context(doc, 0), task.doc_to_target(doc)) == ("hey\n", "HEY")
    rows = run_pipelines(task, [doc], ["he<|BACKTRACK|><|BACKTRACK|>HEY"])
    assert {name: row[0]["exact_match"] for name, row in rows.items() if name != "trace"} == {
        "strict-match": 1, "flexible-extract": 1, "strict-match-raw": 0, "flexible-extract-raw": 0,
    }  # fmt: skip


def test_another_judge_by_name(installed_here, run_pipelines, shouts, bytes_tokenizer):
    """The metadata name a judge of the task."""
    installed_here()
    for named, right in (({}, 0), ({"verifier": "patient"}, 1)):
        tasks = manager(data_dir=shouts, pretrained=bytes_tokenizer, **named)
        task = tasks.load("shout_backtrack")["tasks"]["shout_backtrack"]
        rows = run_pipelines(task, list(task.test_docs()), ["hey"])
        assert rows["strict-match"][0]["exact_match"] == right


def test_without_packages_nothing_is_added(capsys):
    """Our own tasks have files."""
    assert declared() == ([], [])
    assert list(manager().task_index) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import no_such_module", "cannot be imported (ModuleNotFoundError"),
        ("from acme2_parrot import TASK", "cannot be imported"),
        ("TASK = 7", "no Task but int"),
    ],
)
def test_a_broken_package_is_one_line(installed_here, capsys, code, told):
    """The others are listed, and it is told once however often lm-eval looks."""
    installed_here()
    installed_here("broken", "parrot", code)
    for _ in range(2):
        assert list(manager().task_index) == ["shout_backtrack", "shout_backtrack_long"]
    err = capsys.readouterr().err
    assert err.startswith("halluc: The task 'parrot' of the package broken")
    assert told in err
    assert err.count("\n") == 1


def test_an_evaluation_of_another_kind_is_one_line(installed_here, capsys):
    """Whatever stands there."""
    code = (
        "from halluc_plugin.tasks import Task\n"
        "class V:\n    data_sources = ('w',)\n    def verify(self, problem, answer): ...\n"
        "TASK = Task(name='parrot', verifier=V(), eval=7)\n"
    )
    installed_here("broken", "parrot", code)
    assert list(manager().task_index) == []
    assert "the task 'parrot' of broken cannot be read (AttributeError" in capsys.readouterr().err


def test_a_name_of_two_tasks_is_nobodys(installed_here, capsys):
    """Neither package wins, and both are named."""
    installed_here()
    code = (
        "from dataclasses import replace\nfrom acme_shout import TASK as theirs\n"
        "class V(type(theirs.verifier)):\n    data_sources = ('w',)\n"
        "TASK = replace(theirs, name='parrot', verifier=V())\n"
    )
    installed_here("rival", "parrot", code)
    assert list(manager().task_index) == []
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("'")[1] for line in lines] == ["shout_backtrack", "shout_backtrack_long"]
    assert "parrot of rival and shout of acme" in lines[0]


@pytest.mark.parametrize(("below", "told"), [(True, 1), (False, 0)])
def test_a_name_that_there_is_stays(installed_here, tmp_path, capsys, below, told):
    """A user's task wins quietly; a name of lm-eval's or ours is told."""
    installed_here()
    there = Entry("shout_backtrack", Kind.TASK, tmp_path / "theirs" / "shout.yaml")
    index = {"shout_backtrack": there}
    add_to(index, [tmp_path / "theirs"] if below else [tmp_path / "elsewhere"])
    assert index["shout_backtrack"] is there
    assert list(index) == ["shout_backtrack", "shout_backtrack_long"]
    err = capsys.readouterr().err
    assert err.count("\n") == err.count("'shout_backtrack' of acme is not listed") == told
