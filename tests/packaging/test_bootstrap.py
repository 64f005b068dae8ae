"""The environment that `make` creates: where packages come from, and what is pinned."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LISTING = """\
:env:.find-links='/from/environment'
global.extra-index-url='file:///one file:///two'
global.find-links='/from/global'
global.index-url='file:///main'
install.find-links='/from/install'
"""


@pytest.fixture(scope="module")
def bootstrap():
    """The names of the script."""
    return runpy.run_path(str(ROOT / "scripts" / "bootstrap.py"))


@pytest.fixture
def no_uv_variables(monkeypatch):
    """No setting of uv's own in the environment."""
    for name in ("UV_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_STRATEGY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def test_pips_precedence(bootstrap):
    """As in pip, the environment wins over the command's section, which wins over the global one."""
    settings = bootstrap["pip_settings"]
    assert settings(LISTING)["find-links"] == ["/from/environment"]
    assert settings("\n".join(LISTING.splitlines()[1:]))["find-links"] == ["/from/install"]


@pytest.mark.usefixtures("no_uv_variables")
def test_pips_places_are_handed_to_uv(bootstrap):
    """Find-links and indexes reach uv, and all indexes count alike, as for pip."""
    environment = bootstrap["uv_environment"](bootstrap["pip_settings"](LISTING))
    assert environment["UV_FIND_LINKS"] == "/from/environment"
    assert environment["UV_DEFAULT_INDEX"] == "file:///main"
    assert environment["UV_INDEX"] == "file:///one file:///two"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"


@pytest.mark.usefixtures("no_uv_variables")
def test_torch_comes_from_find_links_or_from_its_own_index(bootstrap):
    """With find-links configured torch comes from there, else from the CPU index that uv knows."""
    source, environment = bootstrap["torch_source"], bootstrap["uv_environment"]
    assert source(environment({"find-links": ["/wheels"]})) == []
    assert source(environment({})) == ["--torch-backend", "cpu"]


def test_bytecode_is_written_with_the_packages(bootstrap, monkeypatch, tmp_path):
    """A run is a dozen processes, none of which should have to compile what it imports."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "bin" / "uv").touch()
    commands = []
    monkeypatch.setitem(bootstrap["main"].__globals__, "run", lambda *command, **_: commands.append(command))
    bootstrap["main"](tmp_path)
    (install,) = commands
    assert install[1:3] == ("pip", "install")
    assert "--compile-bytecode" in install


def test_the_users_own_variables_win(bootstrap, monkeypatch):
    """A variable that the user sets for uv is left alone."""
    monkeypatch.setenv("UV_FIND_LINKS", "/mine")
    assert bootstrap["uv_environment"]({"find-links": ["/pips"]})["UV_FIND_LINKS"] == "/mine"


@pytest.mark.parametrize("name", ["cpu.txt", "cpu-overrides.txt"])
def test_constraints_name_no_place(name):
    """The pins serve with any index: no address and no path is in them."""
    text = (ROOT / "constraints" / name).read_text()
    assert "/" not in "\n".join(line for line in text.splitlines() if not line.startswith("#"))
