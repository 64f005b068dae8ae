"""The doctor's lines: green when things are right, red with a fix when they are not."""

import json
import os
import sys
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from halluc_plugin import doctor
from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.cli.app import app
from halluc_plugin.doctor import engine, fresh, model, packages, tasks, vllm
from halluc_plugin.errors import TaskError
from halluc_plugin.tasks import load
from lm_eval_tasks import doctor as lm_eval
from lm_eval_tasks.others import Declared
from lm_eval_tasks.path_command import our_tasks
from verl_ext import doctor as verl

OK, WARN, FAIL, ABSENT = CheckStatus
LONG_FIX = "pip install 'a-package-of-a-long-name>=1.2.3,<4.5.6' 'and-another-one>=1.2.3,<4.5.6'"
SOUND = {
    "names": [
        ["agent loop", "backtrack", "verl_ext.loops.backtrack.BacktrackAgentLoop"],
        ["advantage estimator", "backtrack_grpo", "verl_ext.advantage"],
    ],
    "version_error": None,
    "recipes": ["grpo_baseline", "halluc_grpo"],
    "platform": "cpu",
}


LM_EVAL = {
    "tasks": our_tasks(),
    "models": ["hf-backtrack", "vllm-backtrack"],
    "others": {},
    "faults": [],
}


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these distributions are installed, with these requirements."""

    def pretend(versions, requirements=None):
        monkeypatch.setattr(packages, "installed_version", versions.get)
        monkeypatch.setattr(packages, "requires", lambda name: (requirements or {}).get(name, []))

    return pretend


def lines(checks):
    """Status and detail by name."""
    return {check.name: (check.status, check.detail) for check in checks}


def answering(answer):
    """Another Python that answers this, or raises it."""

    def call(_target, *, beside=None):
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


@pytest.fixture
def rooms(monkeypatch):
    """Pretend that entry points announce these rooms: name and value."""

    def pretend(**points):
        announced = [
            EntryPoint(name.replace("_", "-"), value, doctor.GROUP) for name, value in points.items()
        ]
        monkeypatch.setattr(doctor, "entry_points", lambda *, group: announced)

    pretend(verl="verl_ext.doctor:checks", lm_eval="lm_eval_tasks.doctor:checks")
    return pretend


GUESTS = r"""
import os, sys
left_behind = []
def first():
    print("noise" * 100_000)
    sys.stderr.write("noise" * 100_000)
    left_behind.append(1)
    return os.getpid()
def alone():
    assert not left_behind, "somebody was here"
    return os.getpid()
def sleeps():
    import time
    time.sleep(60)
def dies():
    os.write(2, "last words, in \xe9\n".encode("latin-1"))
    os.abort()
"""


class TestFresh:
    """Calling functions in another Python."""

    @pytest.fixture(autouse=True)
    def _guests(self, tmp_path, monkeypatch):
        """Functions that can be called there."""
        (tmp_path / "guests.py").write_text(GUESTS)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def test_returns_the_answer_whatever_is_printed(self):
        """The answer is JSON and survives what else is printed."""
        assert fresh.call("platform:python_version_tuple") == [str(part) for part in sys.version_info[:3]]

    def test_tells_the_last_thing_said(self):
        """A function that does not return gives its last line on stderr."""
        with pytest.raises(
            fresh.FreshPythonError, match="ModuleNotFoundError: No module named 'absent_module'"
        ):
            fresh.call("absent_module:function")
        with pytest.raises(fresh.FreshPythonError, match="last words, in "):
            fresh.call("guests:dies")

    def test_calls_share_what_was_imported(self):
        """One Python answers one call after the other, however much is printed."""
        with fresh.FreshPython() as python:
            assert len({python.call("guests:first") for _ in range(3)}) == 1

    def test_nothing_fails_by_what_another_left_behind(self):
        """A call that fails beside another is made once more alone; then others go on in that Python."""
        with fresh.FreshPython() as python:
            first = python.call("guests:first")
            alone = python.call("guests:alone")
            assert first != alone == python.call("guests:first")
            with pytest.raises(fresh.FreshPythonError, match="last words"):
                python.call("guests:dies")
            assert python.call("guests:alone") != alone

    def test_calls_beside_a_host_share_a_python(self):
        """Calls that name the same host share what was imported; the others stand alone."""
        with fresh.FreshPythons() as pythons:
            beside = {pythons.call("guests:first", beside="a host") for _ in range(2)}
            assert len(beside) == 1
            others = [pythons.call("guests:first", beside="another"), pythons.call("guests:first")]
            assert len({*beside, *others}) == 3

    def test_silence_has_an_end(self, monkeypatch):
        """A host that hangs is one red line."""
        monkeypatch.setattr(fresh, "TIMEOUT_S", 0.5)
        with fresh.FreshPython() as python, pytest.raises(fresh.FreshPythonError, match="no answer in"):
            python.call("guests:sleeps")


class TestPackages:
    """Versions beside the tested ones."""

    def test_reads_pins_by_canonical_name(self):
        """Comments are skipped and names are canonical."""
        assert packages.tested_versions("# a==1\nTorch_Data==0.11.0\ntorch==2.13.0+cpu\n") == {
            "torch-data": "0.11.0",
            "torch": "2.13.0+cpu",
        }

    def test_every_host_is_pinned(self):
        """Every host in the table has a tested version, whichever name it is distributed under."""
        pins = packages.tested_versions((packages.files("halluc_plugin.doctor") / "tested.txt").read_text())
        for host in packages.HOSTS:
            assert any(packages.canonicalize_name(name) in pins for name in host.distributions)

    def test_build_of_the_tested_version_is_green(self, installed):
        """Another build of the tested version of torch counts as tested."""
        installed({"torch": "2.13.0+cu130"})
        assert lines(packages.checks())["torch"] == (OK, "2.13.0+cu130")

    def test_untested_version_is_yellow(self, installed):
        """A version beside the tested one is a warning that names both."""
        installed({"lm-eval": "0.5.0"})
        assert lines(packages.checks())["lm-eval"] == (WARN, "0.5.0, tested with 0.4.13")

    def test_too_old_is_red(self, installed):
        """A version that our own requirements refuse is red."""
        installed({"verl": "0.8.0"}, {"halluc": ['verl>=0.9.1; extra == "verl"']})
        assert lines(packages.checks())["verl"] == (FAIL, "0.8.0, halluc needs >=0.9.1")

    def test_absent_optional_host_is_grey(self, installed):
        """A host that halluc does not need is 'not installed', with the command that installs it."""
        installed({})
        found = {check.name: check for check in packages.checks()}
        assert found["verl"] == Check("verl", ABSENT, "not installed", "pip install 'halluc[verl]'")
        assert found["torch"].status is FAIL

    def test_a_host_that_refuses_a_version_is_red(self, installed):
        """Verl's own requirements are checked: another package may have moved what it needs."""
        installed(
            {"verl": "0.9.1", "transformers": "5.12.0"},
            {"verl": ["transformers<5.11,>=5.5.3", "gpu-only==1; extra == 'gpu'"]},
        )
        detail = "verl needs transformers<5.11,>=5.5.3, 5.12.0 is installed"
        assert lines(packages.checks())["verl and transformers"] == (FAIL, detail)


class TestVerl:
    """The plugin, its names, its recipes."""

    def test_sound_installation_is_green(self, monkeypatch):
        """With every name ours and our recipes found, every line is green."""
        call = answering(SOUND)
        assert {check.status for check in verl.checks(call)} == {OK}

    @pytest.mark.parametrize(
        ("change", "line", "detail"),
        [
            ({"names": [["agent loop", "backtrack", None]]}, "agent loop backtrack", "unknown to verl"),
            (
                {"names": [["agent loop", "backtrack", "other.loop"]]},
                "agent loop backtrack",
                "taken by other.loop",
            ),
            ({"recipes": []}, "Hydra search path", "no recipe of ours is on it"),
            ({"version_error": ["too new.", "Take another."]}, "version", "too new."),
        ],
    )
    def test_each_fault_is_red_with_a_fix(self, monkeypatch, change, line, detail):
        """A name unknown, a name taken, no recipes, a wrong version: one red line each, with a fix."""
        call = answering(SOUND | change)
        found = {check.name: check for check in verl.checks(call)}[line]
        assert (found.status, found.detail) == (FAIL, detail)
        assert found.fix

    def test_failing_import_is_one_red_line(self, monkeypatch):
        """When verl cannot be imported, its last word is shown."""
        call = answering(fresh.FreshPythonError("ImportError: no"))
        assert lines(verl.checks(call))["import verl"] == (FAIL, "ImportError: no")

    def test_switched_off_plugins_are_red(self, monkeypatch):
        """Verl's own switch that keeps our plugin out is named."""
        monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "other")
        call = answering(SOUND)
        assert lines(verl.checks(call))["plugin"] == (
            FAIL,
            "VERL_USE_EXTERNAL_PLUGINS=other keeps verl from loading it",
        )


@pytest.mark.parametrize("room", [verl, vllm, lm_eval])
def test_absent_host_is_grey(monkeypatch, room):
    """A host that is not installed is no fault."""
    monkeypatch.setattr(room, "find_spec", lambda _name: None)
    assert [check.status for check in room.checks(answering({}))] == [ABSENT]


class TestLmEval:
    """Tasks and models without a flag."""

    def test_missing_task_is_red(self, monkeypatch):
        """A task of ours that lm-eval does not list is named, with the flag that helps."""
        tasks = our_tasks()
        call = answering(LM_EVAL | {"tasks": tasks[1:]})
        found = {check.name: check for check in lm_eval.checks(call)}
        assert (found["tasks"].status, found["tasks"].detail) == (FAIL, f"not listed: {tasks[0]}")
        assert "--include_path" in found["tasks"].fix
        assert found["models"].status is OK

    def test_tasks_of_other_packages_have_lines(self):
        """Each package has one that lists its tasks, or says which lm-eval does not list; so has a fault."""
        seen = {
            "tasks": [*our_tasks(), "acme_backtrack"],
            "others": {"acme": ["acme_backtrack"], "rival": ["rival_backtrack"]},
            "faults": [["The task 'word' is odd.", "Mend it."]],
        }
        found = lm_eval.checks(answering(LM_EVAL | seen))
        told = lines(found)
        assert told["tasks of acme"] == (OK, "acme_backtrack")
        assert told["tasks of rival"] == (FAIL, "not listed: rival_backtrack")
        assert Check("task", FAIL, "The task 'word' is odd.", "Mend it.") in found

    def test_what_other_packages_declare_is_observed(self, monkeypatch):
        """Tasks by package; a fault is left out where the room of tasks tells of it."""
        chain = load("chain")
        packages = [Declared("acme", chain, {f"{name}_backtrack": {}}) for name in ("a", "b")]
        odd, told = (TaskError(f"The task 'word' is {what}.", "Mend it.") for what in ("odd", "broken"))
        monkeypatch.setattr("lm_eval_tasks.others.declared", lambda: (packages, [odd, told]))
        monkeypatch.setattr("halluc_plugin.tasks.registry.broken", lambda: {"word": told})
        assert lm_eval.observe_others() == {
            "others": {"acme": ["a_backtrack", "b_backtrack"]},
            "faults": [(odd.cause, odd.fix)],
        }

    def test_switched_off_start_up_file_is_yellow(self, monkeypatch):
        """The user's own switch is a warning, not a fault."""
        monkeypatch.setenv("HALLUC_LM_EVAL", "0")
        call = answering(LM_EVAL | {"models": []})
        assert lines(lm_eval.checks(call))["start-up file"][0] is WARN


class TestTasks:
    """What packages bring, and what is wrong with it."""

    def test_a_broken_task_is_red(self):
        """Its line has the cause and the fix; those that can be used are one line a package."""
        seen = {
            "usable": [{"name": name, "package": "halluc"} for name in ("chain", "dag")],
            "broken": [
                {"name": "echo", "cause": "The task 'echo' of the package acme ...", "fix": "Mend acme."}
            ],
        }
        assert tasks.checks(answering(seen)) == [
            Check("halluc", OK, "chain, dag"),
            Check("echo", FAIL, "The task 'echo' of the package acme ...", "Mend acme."),
        ]

    def test_ours_are_seen(self):
        """As they are here."""
        seen = tasks.observe()
        assert seen["broken"] == []
        assert {"name": "countdown", "package": "halluc"} in seen["usable"]


class TestVllm:
    """The logits processor."""

    def test_other_interface_is_red(self, monkeypatch):
        """A vLLM with another interface for logits processors is a fault."""
        call = answering({"is_processor": False, "platform": "cpu"})
        assert [check.status for check in vllm.checks(call)] == [FAIL]


def test_path_without_a_model_is_red(tmp_path):
    """A folder without a tokenizer is one red line."""
    assert [(check.name, check.status) for check in model.checks(str(tmp_path))] == [("load", FAIL)]


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


class TestEngine:
    """The room that is looked into with --engine."""

    SEEN: ClassVar = {
        "version": "0.28.0", "device": "cpu", "traces": 16, "strays": 0, "sampled": 3e-6, "shared": 3e-6,
        "actions": {"log-probs": 1024, "prefix cache": 1228},
    }  # fmt: skip

    def test_only_on_request(self, monkeypatch, rooms):
        """Without --engine nothing is started; with it the room is the last."""
        for room in (packages, verl, vllm, lm_eval):
            monkeypatch.setattr(room, "checks", lambda *_: [])
        monkeypatch.setattr(engine, "checks", lambda _: [Check("engine", FAIL, "no")])
        assert "engine" not in doctor.examine()
        shown = CliRunner().invoke(app, ["doctor", "--engine", "--json"])
        assert shown.exit_code == 1
        assert list(json.loads(shown.stdout)) == ["packages", "tasks", "verl", "vLLM", "lm-eval", "engine"]

    def test_exact(self, monkeypatch):
        """An engine within float tolerance is green, with the numbers."""
        call = answering(self.SEEN)
        assert lines(engine.checks(call)) == {
            "engine": (OK, "vLLM 0.28.0 on cpu"),
            "greedy traces": (OK, "16 of 16 greedy traces are those of a model without a cache"),
            "log-probs": (OK, "largest difference 3.0e-06 nats over 1024 actions"),
            "prefix cache": (OK, "largest difference 3.0e-06 nats over 1228 actions"),
        }

    @pytest.mark.parametrize(
        ("wrong", "name"),
        [
            ({"strays": 1}, "greedy traces"),
            ({"sampled": 0.02}, "log-probs"),
            ({"shared": 0.3}, "prefix cache"),
        ],
    )
    def test_inexact(self, monkeypatch, wrong, name):
        """Each difference is a red line of its own that says not to use hard context."""
        call = answering(self.SEEN | wrong)
        red = [check for check in engine.checks(call) if check.status is FAIL]
        assert [check.name for check in red] == [name]
        assert red[0].fix.startswith("Do not use context=hard")

    def test_engine_that_does_not_start(self, monkeypatch):
        """A refusal, for instance of an untested version, is shown as it is."""
        call = answering(fresh.FreshPythonError("vLLM 0.40 is installed; hard context is tested with"))
        assert lines(engine.checks(call))["engine"] == (
            FAIL,
            "vLLM 0.40 is installed; hard context is tested with",
        )

    def test_without_vllm(self, monkeypatch):
        """Nothing to try."""
        monkeypatch.setattr(engine, "find_spec", lambda _: None)
        assert lines(engine.checks(answering({}))) == {"engine": (ABSENT, "vLLM is not installed")}
