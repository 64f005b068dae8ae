"""Tasks of ours and of other packages: found by name, imported when used, refused where two claim one."""

import re
import subprocess
import sys

import pytest

from halluc_plugin.errors import DataError, TaskError
from halluc_plugin.tasks import registry
from halluc_plugin.verifiers import Verifier

OURS = ("addition", "chain", "countdown", "dag", "forbidden", "gsm8k", "sat", "sudoku", "word")
WORKING = '''
    """Echoes: say it again.

    More about them.
    """

    from halluc_plugin.tasks import Task
    from halluc_plugin.verifiers import Outcome


    class Verifier:
        data_sources = ("{source}",)

        def verify(self, problem, answer):
            return Outcome.CORRECT if answer == problem["say"] else Outcome.WRONG


    TASK = Task(name="{name}", verifier=Verifier())
'''


def in_a_fresh_python(statement):
    """What a statement prints in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True, text=True)
    return done.stdout.strip()


class TestOurs:
    """The folders of this package."""

    def test_each_declares_itself(self):
        """Every folder has a task of its name with a verifier of its sources, and none is broken."""
        assert registry.names() == OURS
        assert registry.broken() == {}
        for name in OURS:
            task = registry.load(name)
            assert task.name == name
            assert isinstance(task.verifier, Verifier)
            for source in task.sources:
                assert registry.find_task(source) is task

    def test_names_and_summaries_import_no_task(self):
        """They are read from folders and files."""
        said = in_a_fresh_python(
            "import sys; from halluc_plugin.tasks import names, summary\n"
            "assert all(summary(name) for name in names())\n"
            "print([m for m in sys.modules if m.startswith('halluc_plugin.tasks.') "
            "and m.split('.')[2] in names()], 'torch' in sys.modules)"
        )
        assert said == "[] False"

    def test_one_task_is_imported_alone(self):
        """Whoever uses one does not wait for the others."""
        said = in_a_fresh_python(
            "import sys; from halluc_plugin.tasks import load\n"
            "load('chain'); print('halluc_plugin.tasks.countdown' in sys.modules, 'torch' in sys.modules)"
        )
        assert said == "False False"

    def test_what_the_host_judges_is_left_to_it(self):
        """In training verl scores GSM8K; everybody else finds the verifier."""
        assert registry.find_verifier("openai/gsm8k") is None
        assert registry.require_verifier("openai/gsm8k") is registry.load("gsm8k").verifier
        assert "openai/gsm8k" not in registry.known_sources()

    @pytest.mark.parametrize("source", ["elsewhere", 7, None, ["halluc/chain"]])
    def test_other_sources_have_no_task(self, source):
        """Whatever a column holds."""
        assert registry.find_task(source) is None


class TestOfOthers:
    """Entry points of other packages."""

    def test_a_package_adds_a_task(self, install):
        """By its name, its summary and its source, and not imported before it is used."""
        module = install("acme", "echo", WORKING.format(name="echo", source="acme/echo"))
        assert registry.names() == (*OURS, "echo")
        assert registry.summary("echo") == "Echoes: say it again"
        assert registry.package("echo") == "acme"
        assert module not in sys.modules
        assert registry.load("echo").sources == ("acme/echo",)
        assert registry.find_verifier("acme/echo") is registry.load("echo").verifier
        assert "acme/echo" in registry.known_sources()

    def test_the_entry_point_may_name_the_object(self, install):
        """``module:TASK``, or any other name."""
        code = WORKING.format(name="echo", source="acme/echo") + "\n    OTHER, TASK = TASK, None\n"
        install("acme", "echo", code, place="acme_echo_module:OTHER")
        assert registry.load("echo").name == "echo"

    @pytest.mark.parametrize(
        ("code", "message"),
        [
            ("import no_such_module", r"cannot be imported \(ModuleNotFoundError: No module named"),
            ("raise SystemExit(3)", r"cannot be imported \(SystemExit: 3\)"),
            ("this is no Python", r"cannot be imported \(.*SyntaxError"),
            ("X = 1", r"cannot be imported \(AttributeError: .*TASK"),
            ("TASK = 7", "no Task but int"),
            (WORKING.format(name="other", source="acme/echo"), "says that its name is 'other'"),
            (WORKING.format(name="echo", source=""), r"sources of its verifier are \('',\)"),
        ],
    )
    def test_a_broken_one_fails_alone(self, install, code, message):
        """Who asks for it hears which package to mend, nobody else does, and no source is lost quietly."""
        install("acme", "echo", code)
        with pytest.raises(TaskError, match=f"echo.* of the package acme.*{message}.*update acme"):
            registry.load("echo")
        assert list(registry.broken()) == ["echo"]
        assert registry.load("chain").name == "chain"
        assert registry.find_task("halluc/countdown").name == "countdown"
        assert registry.find_verifier("lighteval/MATH") is None
        with pytest.raises(DataError, match=r"no verifier.*echo \(acme\).*halluc doctor"):
            registry.require_verifier("acme/echo")

    @pytest.mark.parametrize(
        ("code", "fix"),
        [
            ("import no_such_module", r"`python -c 'import acme_echo_module'` shows more"),
            ("X = 1", r"Declare `TASK = Task\(\.\.\.\)` in acme_echo.*, mend the entry point"),
            (WORKING.format(name="other", source="acme/echo"), "Mend `TASK` in acme_echo"),
            (WORKING.format(name="echo", source=""), "Mend `TASK` in acme_echo"),
        ],
    )
    def test_a_fix_leads_on(self, install, code, fix):
        """An import is proposed only where it shows more; otherwise the fix names what to mend, and where."""
        install("acme", "echo", code)
        with pytest.raises(TaskError) as raised:
            registry.load("echo")
        assert re.search(fix, raised.value.fix)
        assert ("shows more" in raised.value.fix) is (code == "import no_such_module")

    def test_a_verifier_is_told_what_it_lacks(self, install):
        """Not what it has."""
        code = WORKING.format(name="echo", source="acme/echo").replace("def verify(", "def judge(")
        install("acme", "echo", code)
        with pytest.raises(TaskError, match=r"has no verify\. "):
            registry.load("echo")

    def test_an_unreadable_summary_is_empty(self, install):
        """A list of tasks is shown whatever is wrong with one of them."""
        install("acme", "echo", "this is no Python")
        install("elsewhere", "gone", "X = 1", place="no_such_package.tasks")
        assert (registry.summary("echo"), registry.summary("gone")) == ("", "")

    def test_an_unknown_name(self):
        """The message lists those that there are."""
        with pytest.raises(TaskError, match=r"no task 'nothing'.*countdown"):
            registry.load("nothing")


class TestClaimedTwice:
    """One name or one source in two packages."""

    def test_a_name_of_ours(self, install):
        """Ours wins nothing: neither the name nor its source can be used, all others can."""
        install("acme", "chain", WORKING.format(name="chain", source="acme/chain"))
        for use in (
            lambda: registry.load("chain"),
            lambda: registry.find_verifier("halluc/chain"),
            lambda: registry.find_verifier("acme/chain"),
        ):
            with pytest.raises(TaskError, match=r"'chain' is claimed by halluc .* and acme \(acme_chain_mod"):
                use()
        assert list(registry.broken()) == ["chain"]
        assert registry.find_verifier("halluc/dag") is registry.load("dag").verifier

    def test_a_source(self, install):
        """A row's judge is never a matter of chance."""
        install("acme", "echo", WORKING.format(name="echo", source="halluc/dag"))
        with pytest.raises(
            TaskError, match=r"'halluc/dag' is claimed by halluc .*dag.* and acme .* use another data source"
        ):
            registry.find_verifier("halluc/dag")
        assert sorted(registry.broken()) == ["dag", "echo"]
        assert registry.find_verifier("halluc/chain") is registry.load("chain").verifier

    def test_a_package_that_is_found_twice_is_one(self, install, tmp_path, monkeypatch):
        """An installation that is on the path twice contradicts nobody."""
        install("acme", "echo", WORKING.format(name="echo", source="acme/echo"))
        again = tmp_path / "again"
        again.mkdir()
        (again / "acme-1.0.dist-info").symlink_to(tmp_path / "acme-1.0.dist-info")
        monkeypatch.syspath_prepend(again)
        registry.forget()
        assert registry.load("echo").name == "echo"
        assert registry.broken() == {}
