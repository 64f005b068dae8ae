"""Lines of single rooms: green when things are right, red with a fix when they are not."""

import pytest

from halluc_plugin.checks import Check
from halluc_plugin.doctor import fresh, model, packages, rewards, tasks, vllm
from halluc_plugin.errors import TaskError
from halluc_plugin.rewards import registry
from halluc_plugin.tasks import load
from halluc_plugin.window import Record
from lm_eval_tasks import doctor as lm_eval
from lm_eval_tasks.others import Declared
from lm_eval_tasks.path_command import our_tasks
from tests.doctor.conftest import ABSENT, FAIL, OK, WARN, answering, lines
from verl_ext import doctor as verl

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


class TestPackages:
    """Versions that were run, that are taken, and others."""

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
        assert lines(packages.checks())["torch"] == (OK, "2.13.0+cu130, run")

    def test_versions_that_were_not_run_are_yellow(self, installed):
        """Inside the window, outside it, or beyond what was run: the nearest that was run is named."""
        installed({"lm-eval": "0.5.0", "verl": "0.10.1", "vllm": "0.28.9"})
        found = lines(packages.checks())
        assert found["lm-eval"] == (
            WARN, "0.5.0, beyond the versions that were run; nearest that was run: 0.4.13"
        )  # fmt: skip
        assert found["verl"] == (
            WARN, "0.10.1, outside the window >=0.9.0,<0.10; nearest that was run: 0.9.1"
        )  # fmt: skip
        assert found["vllm"] == (
            WARN, "0.28.9, inside the window >=0.24.0,<0.33, not run itself; nearest that was run: 0.28.0"
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("running", "line"),
        [
            ("3.10.4", (WARN, "3.10.4, outside the window >=3.11,<3.13; nearest that was run: 3.11")),
            ("3.11.9", (OK, "3.11.9, run")),
            ("3.12.1", (OK, "3.12.1; it was run without torch and the hosts")),
            ("3.13.0", (WARN, "3.13.0, outside the window >=3.11,<3.13; nearest that was run: 3.12")),
        ],
    )
    def test_python(self, installed, monkeypatch, running, line):
        """Its minor version is what counts; one that was run without torch alone is told as such."""
        installed({})
        run = (
            Record(python, "2026-01-01", "abc", python, "here", hosts, "", ())
            for python, hosts in (("3.11.7", {"torch": "2.13.0"}), ("3.12.1", {}))
        )
        monkeypatch.setattr(packages.window, "records", lambda kept=tuple(run): kept)
        monkeypatch.setattr(packages.platform, "python_version", lambda: running)
        assert lines(packages.checks())["Python"] == line

    def test_too_old_is_red(self, installed):
        """A version that our own requirements refuse is red."""
        installed({"verl": "0.8.0"}, {"halluc": ['verl>=0.9.0; extra == "verl"']})
        assert lines(packages.checks())["verl"] == (FAIL, "0.8.0, halluc needs >=0.9.0")

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


class TestRewards:
    """What packages bring to pay for."""

    def test_a_broken_component_is_red(self):
        """Its line has the cause, and what to do; those that are registered are green."""
        cause = "acme_pay of the package acme: ZeroDivisionError: division by zero"
        assert rewards.checks(answering({"brevity": None, "wealth": cause})) == [
            Check("brevity", OK, "registered"),
            Check("wealth", FAIL, cause, "Mend the package, update it, or uninstall it."),
        ]

    def test_an_import_that_ends_python_is_one_red_line(self):
        """It names what was said last."""
        (line,) = rewards.checks(answering(fresh.FreshPythonError("it ended")))
        assert (line.name, line.status, line.detail) == ("import", FAIL, "it ended")

    def test_installed_packages_are_seen(self, tmp_path, monkeypatch):
        """A package whose module raises, as another Python finds it; without a package there is no room."""
        assert rewards.GROUP == registry.GROUP
        assert not rewards.brought()
        info = tmp_path / "acme-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[halluc.rewards]\nwealth = acme_pay\n")
        (tmp_path / "acme_pay.py").write_text("1 / 0\n")
        monkeypatch.syspath_prepend(tmp_path)
        assert rewards.brought()
        registry.broken_components.cache_clear()
        seen = rewards.observe()
        registry.broken_components.cache_clear()
        assert seen == {"wealth": "acme_pay of the package acme: ZeroDivisionError: division by zero"}


class TestVllm:
    """The logits processor."""

    def test_other_interface_is_red(self, monkeypatch):
        """A vLLM with another interface for logits processors is a fault."""
        call = answering({"is_processor": False, "platform": "cpu"})
        assert [check.status for check in vllm.checks(call)] == [FAIL]


def test_path_without_a_model_is_red(tmp_path):
    """A folder without a tokenizer is one red line."""
    assert [(check.name, check.status) for check in model.checks(str(tmp_path))] == [("load", FAIL)]
