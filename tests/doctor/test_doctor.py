"""The whole of `halluc doctor`: its rooms together, and the command."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin import doctor
from halluc_plugin.checks import Check
from halluc_plugin.cli.app import app
from halluc_plugin.doctor import packages, tasks, vllm
from lm_eval_tasks import doctor as lm_eval
from tests.doctor.conftest import ABSENT, FAIL, OK, WARN
from verl_ext import doctor as verl

LONG_FIX = "pip install 'a-package-of-a-long-name>=1.2.3,<4.5.6' 'and-another-one>=1.2.3,<4.5.6'"


def test_a_broken_room_does_not_hide_the_others(monkeypatch, rooms):
    """Whatever a room raises is one red line of that room."""
    for room in (packages, verl, vllm, lm_eval):
        monkeypatch.setattr(room, "checks", lambda *_: [Check("a line", OK, "")])
    monkeypatch.setattr(vllm, "checks", lambda _: [].pop())
    rooms = doctor.examine()
    assert rooms["vLLM"][0].status is FAIL
    assert rooms["vLLM"][0].detail == "IndexError: pop from empty list"
    assert rooms["lm-eval"] == [Check("a line", OK, "")]
    assert not doctor.healthy(rooms)


def test_rooms_of_other_packages(monkeypatch, rooms):
    """A room that an entry point announces stands behind ours; one that cannot be loaded is one red line."""
    for room in (packages, vllm, lm_eval):
        monkeypatch.setattr(room, "checks", lambda *_: [Check("a line", OK, "")])
    rooms(
        attic="absent_module:checks",
        lm_eval="lm_eval_tasks.doctor:checks",
        model="lm_eval_tasks.doctor:checks",
    )
    found = doctor.examine()
    assert list(found) == ["packages", "tasks", "vLLM", "lm-eval", "attic", "model (lm_eval_tasks.doctor)"]
    (line,) = found["attic"]
    assert (line.status, line.detail) == (FAIL, "ModuleNotFoundError: No module named 'absent_module'")
    assert found["model (lm_eval_tasks.doctor)"] == [Check("a line", OK, "")]


class TestCommand:
    """`halluc doctor`."""

    def run(self, monkeypatch, status, *arguments):
        """Run the command on one line of that status."""
        rooms = {"verl": [Check("a name", status, "halluc[verl]", LONG_FIX)]}
        monkeypatch.setattr(doctor, "visit", lambda _model, **_: iter(rooms.items()))
        return CliRunner().invoke(app, ["doctor", *arguments])

    @pytest.mark.parametrize(("status", "code"), [(OK, 0), (WARN, 0), (ABSENT, 0), (FAIL, 1)])
    def test_exit_code_says_it_all(self, monkeypatch, status, code):
        """Only a red line makes the exit status 1."""
        assert self.run(monkeypatch, status).exit_code == code

    def test_lines_are_shown_as_they_are(self, monkeypatch):
        """Names with brackets are not read as markup, and a command is not broken at the terminal's width."""
        said = self.run(monkeypatch, FAIL).stdout
        assert "halluc[verl]" in said
        assert f"-> {LONG_FIX}\n" in said

    def test_each_room_is_told_when_it_is_done(self, monkeypatch, rooms):
        """What is quick stands there while the hosts are still being imported."""
        seen = []
        monkeypatch.setattr(packages, "checks", list)
        for name, room in (("tasks", tasks), ("verl", verl), ("vLLM", vllm), ("lm-eval", lm_eval)):
            monkeypatch.setattr(room, "checks", lambda _, name=name: seen.append(name) or [])
        visits = doctor.visit()
        assert (next(visits), seen) == (("packages", []), [])
        assert sorted(room for room, _ in visits) == sorted(seen) == ["lm-eval", "tasks", "vLLM", "verl"]

    def test_json(self, monkeypatch):
        """`--json` gives the same lines by room."""
        assert json.loads(self.run(monkeypatch, FAIL, "--json").stdout) == {
            "verl": [{"name": "a name", "status": "fail", "detail": "halluc[verl]", "fix": LONG_FIX}]
        }


@pytest.mark.e2e
def test_the_tested_stack_is_healthy():
    """In the environment that the tests run in, every room is there and no line is red."""
    rooms = doctor.examine()
    assert sorted(rooms) == ["lm-eval", "packages", "tasks", "vLLM", "verl"]
    assert [check for checks in rooms.values() for check in checks if check.status is not OK] == []
