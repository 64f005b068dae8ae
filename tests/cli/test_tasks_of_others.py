"""Packages whose tasks are broken or claim what is taken, from outside: what goes on, and what is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAIN = "import sys; from halluc_plugin.cli.app import main; main()"
TASK = """\"\"\"Echoes: say it again.\"\"\"
from halluc_plugin.tasks import Problem, ProblemSet, StepData, Task, option
from halluc_plugin.verifiers import Outcome
from dataclasses import dataclass

class Echo:
    data_sources = ("SOURCE",)
    def verify(self, problem, answer):
        return Outcome.CORRECT if answer == problem["say"] else Outcome.WRONG

@dataclass(frozen=True)
class Words(ProblemSet):
    name, sources = "NAME", Echo.data_sources
    seed: int = option(0, "Seed.")
    def draw(self, size, rng):
        word = str(rng.integers(10**6))
        return Problem(word, {"say": word}, (word,), topic=word[:2])

TASK = Task(name="NAME", verifier=Echo(), data=StepData(Words()))
"""
CASES = {
    "an import that fails": ("echo", "import no_such_module", "halluc: The task 'echo' of the package acme"),
    "no declaration": ("echo", "X = 1", "halluc: The task 'echo' of the package acme"),
    "a name of ours": (
        "chain",
        TASK.replace("NAME", "chain").replace("SOURCE", "acme/echo"),
        "halluc: The task 'chain' is claimed by halluc",
    ),
}


@pytest.fixture
def halluc(tmp_path):
    """Installs a package acme with one task, and runs the command where it is installed."""

    def installed(name, code):
        site = tmp_path / "site"
        info = site / "acme-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[halluc.tasks]\n{name} = acme_module\n")
        (site / "acme_module.py").write_text(code)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}

        def run(*arguments):
            command = [sys.executable, "-c", MAIN, *arguments]
            return subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )

        return run

    return installed


FEW = ("--out", "DATA", "--train", "8", "--test", "2")


@pytest.mark.parametrize("case", CASES)
def test_one_that_cannot_be_used_fails_alone(halluc, case):
    """Help and all other tasks go on; its own command says in one line whose it is, and what to do."""
    name, code, said = CASES[case]
    run = halluc(name, code)
    for arguments in (("data", "--help"), ("data", "countdown", *FEW)):
        done = run(*arguments)
        assert (done.returncode, "acme" in done.stderr) == (0, False), done.stderr
    done = run("data", name, *FEW)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert "acme (acme_module)" in done.stderr or "of the package acme" in done.stderr
    assert (" Fix: " in done.stderr, done.stderr.count("\n")) == (True, 1)


def test_one_that_works_is_a_command_like_ours(halluc):
    """With the first line of its module in the list, and files where ours are."""
    run = halluc("echo", TASK.replace("NAME", "echo").replace("SOURCE", "acme/echo"))
    assert "Echoes: say it again." in run("data", "--help").stdout
    done = run("data", "echo", *FEW)
    assert done.returncode == 0, done.stderr
    assert "train 8, test 2, test_new 2" in done.stdout


def test_a_source_of_ours_is_refused_to_both(halluc):
    """Neither task writes rows whose judge is not clear; help and all other tasks go on."""
    run = halluc("echo", TASK.replace("NAME", "echo").replace("SOURCE", "halluc/dag"))
    assert run("data", "--help").returncode == run("data", "chain", *FEW).returncode == 0
    for name in ("dag", "echo"):
        done = run("data", name, *FEW)
        assert done.returncode == 2
        assert done.stderr.startswith("halluc: The data source 'halluc/dag' is claimed by halluc"), (
            done.stderr
        )
        assert ("acme (acme_module)" in done.stderr, done.stderr.count("\n")) == (True, 1)
