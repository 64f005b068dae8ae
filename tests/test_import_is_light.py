"""What users import everywhere, in every Ray worker and at every Python start, pulls in no host."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "ray", "vllm", "verl", "lm_eval")
LIGHT = (
    "halluc_plugin",
    "halluc_plugin.edits",
    "halluc_plugin.checks",
    "halluc_plugin.errors",
    "halluc_plugin.cli.app",
    "halluc_plugin.doctor",
    "halluc_plugin.recipes",
    "halluc_plugin.tasks",
    "lm_eval_tasks._startup",
    "hydra_plugins.halluc_searchpath",
)


def heavy_imports(statement):
    """Run a statement in a fresh Python and name the heavy packages it brought in."""
    code = f"import sys; {statement}; print([n for n in {HEAVY} if n in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return run.stdout.strip()


@pytest.mark.parametrize("module", LIGHT)
def test_no_host_is_imported(module):
    """Importing it imports neither torch nor transformers nor any host."""
    assert heavy_imports(f"import {module}") == "[]"


def test_the_package_alone_imports_next_to_nothing():
    """Old names lead on without a module of Python's own that is not there at its start."""
    code = "import sys; old = set(sys.modules); import halluc_plugin; print(sorted(set(sys.modules) - old))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "['halluc_plugin', 'halluc_plugin.moved', 'halluc_plugin.old_names']"


def test_help_imports_no_host():
    """`halluc --help` shows every command without importing a host."""
    call = "from typer.testing import CliRunner; from halluc_plugin.cli.app import app"
    assert heavy_imports(f"{call}; assert CliRunner().invoke(app, ['--help']).exit_code == 0") == "[]"


def test_the_check_can_fail():
    """A module that imports torch is caught, so an empty list means something."""
    assert heavy_imports("import halluc_plugin.edits.builders") == "['torch']"
