"""``halluc lm-eval-path``: one folder with all lm-eval tasks, ours and those of other packages."""

from pathlib import Path

import pytest
import typer
from lm_eval.tasks import TaskManager
from typer.testing import CliRunner

from lm_eval_tasks import path_command


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command, in a cache of its own."""
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    app = typer.Typer()
    path_command.register(app)

    def printed():
        done = CliRunner().invoke(app, [])
        assert done.exit_code == 0, done.output
        return Path(done.stdout.strip()), done.stderr

    return printed


def tasks_in(folder, **metadata):
    """A TaskManager of that folder alone."""
    metadata = {key: str(value) for key, value in metadata.items()}
    return TaskManager(include_path=str(folder), include_defaults=False, metadata=metadata)


def test_the_folder_has_our_tasks(run, tmp_path):
    """Below HALLUC_HOME, each file as it is in our package; asked again it is the same folder."""
    folder, said = run()
    assert folder.parent == tmp_path / "home"
    assert (run()[0], said) == (folder, "")
    for file in path_command.our_files():
        assert (folder / file.relative_to(path_command.PLACE)).read_text() == file.read_text()
    assert tasks_in(folder).all_tasks == tasks_in(path_command.PLACE).all_tasks == path_command.our_tasks()


def test_functions_and_includes_work_from_there(run, gsm8k_folder, tmp_path):
    """Tasks load, their classes, filters and what they include among them."""
    folder, _ = run()
    (tmp_path / "math500").mkdir()
    (tmp_path / "math500" / "test.jsonl").write_text('{"problem": "1+1?", "solution": "\\\\boxed{2}"}')
    (gsm,) = tasks_in(folder, data_dir=gsm8k_folder).load("gsm8k_backtrack")["tasks"].values()
    (math,) = tasks_in(folder, data_dir=tmp_path).load("math500_backtrack")["tasks"].values()
    assert type(gsm).__module__ == "lm_eval_tasks.task"
    assert (type(math).__module__, math.doc_to_target(next(iter(math.test_docs())))) == (
        "lm_eval_tasks.hendrycks_math_backtrack.task",
        "2",
    )


def test_tasks_of_other_packages_are_there(run, installed_here, shouts, bytes_tokenizer):
    """As YAML that says who declares them; the folder of before stays as it was."""
    before, _ = run()
    installed_here()
    folder, said = run()
    assert (folder != before, said) == (True, "")
    text = (folder / "shout_backtrack" / "shout_backtrack.yaml").read_text()
    assert text.startswith("# Written by `halluc lm-eval-path` from the task shout of acme.\n")
    tasks = tasks_in(folder, data_dir=shouts, pretrained=bytes_tokenizer).load(
        ["shout_backtrack", "shout_backtrack_long"]
    )["tasks"]
    assert [task.config.test_split for task in tasks.values()] == ["test", "test_long"]
    assert "shout_backtrack" not in tasks_in(before).all_tasks


def test_a_broken_package_is_told_and_left_out(run, installed_here):
    """The folder is printed all the same."""
    installed_here("broken", "parrot", "import no_such_module")
    folder, said = run()
    assert tasks_in(folder).all_tasks == path_command.our_tasks()
    assert "task 'parrot' of the package broken" in said
    assert said.count("\n") == 1


def test_a_name_of_ours_is_not_given_away(run, installed_here, monkeypatch):
    """A package that takes it is told, and has no files."""
    monkeypatch.setattr(path_command, "our_tasks", lambda: ["shout_backtrack"])
    installed_here()
    folder, said = run()
    assert not (folder / "shout_backtrack").exists()
    assert "'shout_backtrack' of acme is not listed" in said
