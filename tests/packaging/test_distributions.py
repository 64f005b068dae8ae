"""What is in the wheel and in the source distribution."""

import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

import halluc_plugin

ROOT = Path(__file__).parents[2]
PACKAGES = {"halluc_plugin", "verl_ext", "lm_eval_tasks", "hydra_plugins"}


@pytest.fixture(scope="module")
def names(wheel):
    """The paths in the wheel."""
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel):
    """The core metadata."""
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(archive.read(name).decode())


def test_top_level_names(names):
    """Our four packages and the start-up file: no `tests`, no `recipes`, as other wheels install those."""
    dist_info = f"halluc-{halluc_plugin.__version__}.dist-info"
    assert {PurePosixPath(name).parts[0] for name in names} == PACKAGES | {dist_info, "halluc_lm_eval.pth"}


def test_hydra_plugins_stays_a_namespace(names):
    """Other distributions put plugins into `hydra_plugins`, so no wheel may own its `__init__.py`."""
    assert "hydra_plugins/__init__.py" not in names
    assert "hydra_plugins/halluc_searchpath/__init__.py" in names


@pytest.mark.parametrize("package", sorted(PACKAGES - {"hydra_plugins"}))
def test_types_are_declared(names, package):
    """Type checkers read our annotations."""
    assert f"{package}/py.typed" in names


def test_recipes_are_in_under_our_name(names):
    """Every file of `recipes/` is importable as data of `halluc_plugin.recipes`."""
    folder = ROOT / "recipes"
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    ours = {f"halluc_plugin/recipes/{file}" for file in files if "__pycache__" not in file}
    assert any(name.endswith(".yaml") for name in ours)
    assert ours <= names


def test_tested_versions_are_in(wheel):
    """The doctor of an installed wheel knows the tested versions."""
    packaged = zipfile.ZipFile(wheel).read("halluc_plugin/doctor/tested.txt").decode()
    assert packaged == (ROOT / "constraints" / "cpu.txt").read_text()


def test_version_has_one_source(metadata):
    """The distribution's version is the package's."""
    assert metadata["Version"] == halluc_plugin.__version__
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]


def test_base_requirements_move_nothing(metadata):
    """No version of a package that verl, vLLM and torch pin together is named, and vLLM is never pulled."""
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    base = {each.name: str(each.specifier) for each in requirements if each.marker is None}
    assert {"torch", "transformers", "numpy"} <= base.keys()
    # Its floor is the first with choices as literals; none of the hosts pins it.
    assert {name: bound for name, bound in base.items() if bound} == {"typer": ">=0.19"}
    # Only the extra of the tested CPU stack names a build of vLLM.
    assert {str(each.marker) for each in requirements if "vllm" in each.name} == {'extra == "cpu"'}


def test_wheel_from_the_sdist_is_the_same(build, wheel, sdist, tmp_path):
    """A wheel built from the source distribution holds the same bytes as one built from the tree."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    again = zipfile.ZipFile(build("wheel", tmp_path / "again", source))
    direct = zipfile.ZipFile(wheel)
    assert {n: again.read(n) for n in again.namelist()} == {n: direct.read(n) for n in direct.namelist()}


def test_sdist_holds_the_repository(sdist):
    """Tests, recipes and build files are in the source distribution; environments and outputs are not."""
    with tarfile.open(sdist) as archive:
        top = {PurePosixPath(name).parts[1] for name in archive.getnames()}
    assert {"tests", "recipes", "benchmarks", "docs", "constraints", "scripts", "Makefile", "LICENSE"} <= top
    assert not top & {".venv", "outputs", "multirun", ".hypothesis", ".git"}
