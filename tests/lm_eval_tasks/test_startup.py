"""The start-up file: our tasks are listed without any flag, and nothing else changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Reads the start-up file as an interpreter does at start: as a .pth file of a site folder.
START = "import site, sys; sys.path.insert(0, {root!r}); site.addsitedir({site!r})\n"


@pytest.fixture
def start(tmp_path):
    """Runs code in a fresh interpreter that has our start-up file in a site folder."""
    shutil.copy(ROOT / "lm_eval_tasks" / "halluc_lm_eval.pth", tmp_path)

    def run(code, *flags, root=ROOT, **environment):
        prefix = START.format(root=str(root), site=str(tmp_path))
        return subprocess.run(
            [sys.executable, *flags, "-c", prefix + code],
            capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        )  # fmt: skip

    return run


# A small stand-in for the folder of lm_eval's own tasks: indexing the real one takes ten seconds.
SMALL = """
from pathlib import Path
import lm_eval.tasks
from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import TaskIndex
own = Path(lm_eval.tasks.__file__).parent
TaskIndex._iter_yaml_files = staticmethod(
    lambda root, found=TaskIndex._iter_yaml_files: found(root / "gsm8k" if root == own else root)
)
print([n for n in TaskManager({arguments}).all_tasks if n in ("gsm8k", "gsm8k_backtrack")])
"""
OURS = "str(Path(__import__('lm_eval_tasks').__file__).parent)"
"""The folder of our tasks: the repository's, or an installed wheel's, whose start-up file is read first."""


def test_our_tasks_join_the_defaults(start):
    """A plain TaskManager lists stock and our tasks, and the watcher has left the import system."""
    done = start(SMALL.format(arguments="") + "print([type(f).__name__ for f in sys.meta_path])")
    names, finders = done.stdout.splitlines()
    assert names == "['gsm8k', 'gsm8k_backtrack']", done.stderr
    assert "_Watcher" not in finders


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ("include_defaults=False", {}, []),
        ("", {"HALLUC_LM_EVAL": "0"}, ["gsm8k"]),
        # As a host with a native hook would pass it: found once, no warning about an override.
        (f"include_path={OURS}", {}, ["gsm8k", "gsm8k_backtrack"]),
    ],
)
def test_when_the_start_up_file_stays_away(start, arguments, environment, expected):
    """Without defaults, switched off, or with our folder already listed, it adds nothing."""
    done = start(SMALL.format(arguments=arguments), **environment)
    assert done.stdout.strip() == str(expected), done.stderr
    assert "overrides" not in done.stderr


def test_the_user_still_overrides_us(start, tmp_path):
    """A task of our name under --include_path wins: the order is defaults, ours, the user's."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.yaml").write_text("task: gsm8k_backtrack\ndataset_path: mine\n")
    code = SMALL.format(arguments="") + (
        f"print(TaskManager(include_path={str(tmp_path / 'mine')!r})._index['gsm8k_backtrack'].yaml_path)"
    )
    assert start(code).stdout.splitlines()[-1].endswith("mine.yaml")


def test_our_models_join_the_registry(start):
    """Models of ours are known by name beside lm_eval's own, and not imported before they are used."""
    code = (
        "import lm_eval.tasks, lm_eval.models\n"
        "from lm_eval.api.registry import model_registry as known\n"
        "print([name in known for name in ('hf', 'hf-backtrack', 'vllm-backtrack')])\n"
        "print('lm_eval_tasks.hf_backtrack' in sys.modules)\n"
    )
    assert start(code).stdout.splitlines() == ["[True, True, True]", "False"]
    assert start(code, HALLUC_LM_EVAL="0").stdout.splitlines()[0] == "[True, False, False]"


def test_nothing_heavy_is_imported_at_start():
    """At start two small modules of ours are imported; `os` is there already, as `site` uses it."""
    line = (ROOT / "lm_eval_tasks" / "halluc_lm_eval.pth").read_text()
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules)\n{line}"
    command = [sys.executable, "-I", "-S", "-c", code + "print(sorted(set(sys.modules) - before))"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['lm_eval_tasks', 'lm_eval_tasks._startup']"


def test_left_behind_or_without_lm_eval_it_is_silent(start, tmp_path):
    """After an uninstall, or where lm_eval is absent, start and a failing import look as ever."""
    left_behind = start("print('ok')", "-S", root=tmp_path)
    assert (left_behind.stdout, left_behind.stderr) == ("ok\n", "")
    absent = start("import lm_eval.tasks", "-S")
    assert absent.stderr.strip().endswith("ModuleNotFoundError: No module named 'lm_eval'")
    assert "halluc" not in absent.stderr


def test_looking_for_the_module_without_importing_it_changes_nothing(start):
    """importlib.util.find_spec("lm_eval.tasks") first, import later: our tasks are still added."""
    looked = "from importlib.util import find_spec\nassert find_spec('lm_eval.tasks').origin\n"
    assert start(looked + SMALL.format(arguments="")).stdout.strip() == "['gsm8k', 'gsm8k_backtrack']"


def test_a_host_that_changed_is_imported_all_the_same(start, tmp_path):
    """When lm_eval has no such task index, its import works and one line says what to pass instead."""
    package = tmp_path / "host" / "lm_eval" / "tasks"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text("ready = True\n")
    code = f"sys.path.insert(0, {str(tmp_path / 'host')!r})\nimport lm_eval.tasks; print(lm_eval.tasks.ready)"
    done = start(code, "-S")
    assert done.stdout == "True\n"
    assert done.stderr.startswith("halluc: its tasks or models could not be added to lm_eval (ModuleNotFound")
    assert "--include_path" in done.stderr
    assert done.stderr.count("\n") == 1


LISTED = "print([n for n in TaskManager({arguments}).all_tasks if 'shout' in n])"


def test_tasks_of_other_packages_join(start, install):
    """They are listed without a file and without a flag, and not imported before the index is made."""
    path = os.pathsep.join((str(install()), os.environ.get("PYTHONPATH", "")))
    code = SMALL.format(arguments="") + LISTED.format(arguments="include_defaults=False")
    before = "import sys, lm_eval.tasks; print('acme_shout' in sys.modules)\n"
    done = start(before + code + "\n" + LISTED.format(arguments=""), PYTHONPATH=path)
    assert done.stdout.splitlines() == [
        "False",
        "['gsm8k', 'gsm8k_backtrack']",
        "[]",
        "['shout_backtrack', 'shout_backtrack_long']",
    ], done.stderr


def test_the_user_overrides_other_packages(start, install, tmp_path):
    """A task of their name under --include_path wins, and nothing is said."""
    path = os.pathsep.join((str(install()), os.environ.get("PYTHONPATH", "")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.yaml").write_text("task: shout_backtrack\ndataset_path: mine\n")
    code = SMALL.format(arguments="") + (
        f"index = TaskManager(include_path={str(tmp_path / 'mine')!r})._index\n"
        "print([index[n].yaml_path and index[n].yaml_path.name for n in sorted(index) if 'shout' in n])"
    )
    done = start(code, PYTHONPATH=path)
    assert done.stdout.splitlines()[-1] == "['mine.yaml', None]"
    assert "shout" not in done.stderr


def test_a_broken_package_breaks_nothing(start, install):
    """One line names it; our tasks and those of other packages are listed."""
    install("broken", "parrot", "import no_such_module")
    path = os.pathsep.join((str(install()), os.environ.get("PYTHONPATH", "")))
    done = start(SMALL.format(arguments="") + LISTED.format(arguments=""), PYTHONPATH=path)
    assert done.stdout.splitlines() == [
        "['gsm8k', 'gsm8k_backtrack']",
        "['shout_backtrack', 'shout_backtrack_long']",
    ]
    told = [line for line in done.stderr.splitlines() if "halluc" in line]
    assert len(told) == 1
    assert told[0].startswith("halluc: The task 'parrot' of the package broken cannot be imported")


def test_a_folder_that_we_wrote_is_given_once(start, tmp_path):
    """With --include_path "$(halluc lm-eval-path)" beside the start-up file nothing overrides anything."""
    home = str(tmp_path / "home")
    written = start("from lm_eval_tasks.path_command import written; print(written())", HALLUC_HOME=home)
    folder = written.stdout.strip()
    assert folder.startswith(home)
    done = start(SMALL.format(arguments=f"include_path={folder!r}"))
    assert done.stdout.strip() == "['gsm8k', 'gsm8k_backtrack']"
    assert "overrides" not in done.stderr
