"""Which Pythons take the wheel, and what runs on the newest of them without torch."""

import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
INIT = ROOT / "halluc_plugin" / "__init__.py"


def interpreter(version):
    """A Python of this minor version that runs, of the path or of pyenv; None if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def window(*arguments):
    """Run scripts/window.py on this tree."""
    command = [sys.executable, ROOT / "scripts" / "window.py", *arguments]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_python_3_12(tmp_path):
    """The wheel, its light imports, the commands' help, and every recipe with its settings, without torch."""
    python = interpreter("3.12")
    if python is None:
        pytest.skip("no Python 3.12 on this machine: what was run on it is in docs/compatibility.md")
    hosts = ("typer", "rich", "numpy", "pyyaml", "jinja2", "packaging", "hydra-core", "verl==0.9.1")
    made = window("make", tmp_path / "env", "--bare", "--python", python, *hosts)
    if made.returncode:
        pytest.skip(f"no packages for Python 3.12 could be had here: {made.stderr.strip().splitlines()[-1]}")
    checks = ("light imports", "settings and recipes")
    only = [part for check in checks for part in ("--only", check)]
    ran = window("run", tmp_path / "env" / "bin" / "python", "none", "--records", tmp_path, *only)
    assert ran.returncode == 0, ran.stderr
    outcomes = {line.split()[0] for line in ran.stdout.splitlines()}
    assert outcomes == {"passed"}, ran.stdout


@pytest.mark.parametrize(
    ("version", "taken"), [("3.10", False), ("3.11", True), ("3.12", True), ("3.13", False)]
)
def test_the_wheel_says_which_pythons_it_takes(wheel, version, taken):
    """Its metadata name them, so that pip refuses others in one line; uv looks at the lower bound alone."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = (each for each in packed.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(packed.read(name))
    assert SpecifierSet(metadata["Requires-Python"]).contains(f"{version}.0") is taken


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_another_python_is_one_clear_line(monkeypatch, version):
    """Where the wheel was forced in, the import says what halluc needs."""
    monkeypatch.setattr(sys, "version_info", SimpleNamespace(major=version[0], minor=version[1]))
    with pytest.raises(
        ImportError, match=rf"needs Python 3\.11 or 3\.12, and this is 3\.{version[1]}\. Fix: "
    ):
        runpy.run_path(str(INIT))
