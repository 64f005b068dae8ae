"""The tokenizers that raw traces are written with, and packages that bring tasks."""

import sys
from textwrap import dedent

import pytest

from halluc_plugin.tasks import registry
from tests.problem_sets.conftest import tokenizer

__all__ = ["install", "tokenizer"]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs packages with one module and one entry point each, for the length of a test."""
    monkeypatch.syspath_prepend(tmp_path)
    registry.forget()
    modules = []

    def installed(package, name, code, place=None):
        module = f"{package}_{name}_module"
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(dedent(code), encoding="utf-8")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[halluc.tasks]\n{name} = {place or module}\n")
        registry.forget()
        return module

    yield installed
    monkeypatch.undo()
    for module in modules:
        sys.modules.pop(module, None)
    registry.forget()
