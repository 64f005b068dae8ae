"""Pages that `make docs` writes say what the code says."""

import re
import runpy
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from halluc_plugin.rewards.settings import component_settings
from halluc_plugin.settings import load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("compatibility", "docs/compatibility.md"),
        ("settings_page", "docs/settings.md"),
        ("host_settings_page", "docs/host-settings.md"),
        ("recipes_page", "recipes/README.md"),
        ("tasks_page", "docs/tasks.md"),
        ("migration_page", "docs/migration.md"),
    ],
)
def test_written_pages_are_current(script, name):
    """They are what `make docs` writes."""
    page = runpy.run_path(str(ROOT / "scripts" / f"{script}.py"))["page"]
    assert (ROOT / name).read_text() == page()


def test_lm_eval_tasks_are_those_that_are_declared():
    """Each folder of a task holds the YAML and the table that `make docs` writes, and no other YAML."""
    pages = runpy.run_path(str(ROOT / "scripts" / "lm_eval_tasks.py"))["pages"]()
    assert {path.parent.name for path in pages} >= {"countdown_backtrack", "addition_backtrack"}
    for path, text in pages.items():
        assert path.read_text() == text
    there = {path for folder in {path.parent for path in pages} for path in folder.glob("*.yaml")}
    assert there == {path for path in pages if path.suffix == ".yaml"}


def keys_of(block, path=""):
    """The dotted keys of a group of settings, those of groups in it included."""
    for field in fields(block):
        value = getattr(block, field.name)
        if is_dataclass(value):
            yield from keys_of(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}"


def test_the_page_of_settings_has_them_all():
    """Every key of the block stands there with its default and what it is for, and nothing else does."""
    rows = re.findall(
        r"^\| `halluc\.([\w.]+)` \| (.+?) \| (.+) \|$",
        (ROOT / "docs" / "settings.md").read_text(),
        re.MULTILINE,
    )
    parameters = {
        f"reward.parameters.{name}.{field.name}"
        for name, kind in component_settings().items()
        for field in fields(kind)
    }
    assert {name for name, *_ in rows} == set(keys_of(load({}))) | parameters
    assert all(default and text for _, default, text in rows)
