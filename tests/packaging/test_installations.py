"""What works after `pip install halluc` and after `pip install -e .`."""

import json
import subprocess
from pathlib import Path

import pytest

import halluc_plugin

ROOT = Path(__file__).parents[2]
GROUPS = (
    "console_scripts",
    "halluc.commands",
    "halluc.doctor",
    "lm_eval.filters",
    "lm_eval.models",
    "lm_eval.tasks",
    "verl.plugins",
)


def test_version(environment):
    """The metadata and the package agree on the version."""
    code = (
        "import halluc_plugin, importlib.metadata as m; print(halluc_plugin.__version__, m.version('halluc'))"
    )
    assert environment.run(code) == f"{halluc_plugin.__version__} {halluc_plugin.__version__}"


def test_console_script(environment):
    """The command `halluc` starts."""
    run = subprocess.run(
        [environment.python.parent / "halluc", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"halluc {halluc_plugin.__version__}\n"


def test_commands_of_adapters_are_there(environment):
    """`halluc --help` lists a command that an adapter brings, among ours in the order of their names."""
    run = subprocess.run(
        [environment.python.parent / "halluc", "--help"], capture_output=True, text=True, check=True
    )
    at = [run.stdout.index(f" {command} ") for command in ("doctor", "lm-eval-path", "search")]
    assert at == sorted(at)
    assert run.stderr == ""


def test_every_light_entry_point_resolves(environment):
    """Every entry point loads whose host is quick to import; the others have a test that may take longer."""
    code = """
from importlib.metadata import distribution
ours = distribution("halluc").entry_points
for point in ours:
    if point.group != "lm_eval.models":
        point.load()
print(*sorted({p.group for p in ours}))
"""
    assert environment.run(code).split() == sorted(GROUPS)


@pytest.mark.e2e
def test_every_heavy_entry_point_resolves(environment):
    """The lm-eval models load too, with their hosts."""
    code = """
from importlib.metadata import distribution
points = distribution("halluc").entry_points.select(group="lm_eval.models")
print(*sorted(point.load().__module__ for point in points))
"""
    said = environment.run(code).splitlines()  # vLLM greets on the lines before
    assert said[-1] == "lm_eval_tasks.hf_backtrack lm_eval_tasks.vllm_backtrack"


def test_start_up_file_lands(environment):
    """Python runs our start-up file in either form, and it waits for lm-eval."""
    assert (environment.site / "halluc_lm_eval.pth").exists()
    code = "import sys; print(*[type(f).__module__ for f in sys.meta_path])"
    assert "lm_eval_tasks._startup" in environment.run(code)


def test_recipes_are_importable_as_ours(environment):
    """Hydra reads `pkg://halluc_plugin.recipes`."""
    code = (
        "from importlib.resources import files; print((files('halluc_plugin.recipes') / 'recipe').is_dir())"
    )
    assert environment.run(code) == "True"


def test_other_peoples_tests_and_recipes_win(environment):
    """`tests` and `recipes` of another distribution are found, not the folders of our repository."""
    installed = {path.name for path in environment.site.iterdir()}
    assert not installed & {"tests", "recipes", "scripts", "benchmarks", "docs"}
    others = environment.site / "recipes"
    others.mkdir()
    try:
        (others / "__init__.py").touch()
        assert str(environment.site) in environment.run("import recipes; print(recipes.__file__)")
        # verl's wheel has a top-level package `tests`.
        assert str(ROOT / "tests") not in environment.run("import tests; print(tests.__path__)")
    finally:
        (others / "__init__.py").unlink()
        others.rmdir()


def test_hydra_discovers_our_search_path(environment):
    """Verl's applications see our recipes; another application's search path holds nothing of ours."""
    code = """
import json
import subprocess
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
def providers(module):
    with initialize_config_module(module, version_base=None):
        path = GlobalHydra.instance().config_loader().get_search_path().get_path()
        return [element.path for element in path if element.provider == "halluc"]
print(json.dumps([providers("verl.trainer.config"), providers("somebody.elses.config")]))
"""
    assert json.loads(environment.run(code)) == [["pkg://halluc_plugin.recipes"], []]


@pytest.mark.e2e
def test_stock_verl_shows_our_search_path(environment):
    """`python -m verl.trainer.main_ppo --info searchpath` lists our recipes."""
    code = """
import runpy, sys
sys.argv = ["main_ppo", "--info", "searchpath"]
runpy.run_module("verl.trainer.main_ppo", run_name="__main__")
"""
    assert "pkg://halluc_plugin.recipes" in environment.run(code)
