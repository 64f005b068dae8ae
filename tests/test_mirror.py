"""Tests lie where the packages lie that they test."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"
PACKAGES = (ROOT / "halluc_plugin", ROOT)
ACROSS = {
    "accelerator": "what is the same on an accelerator as on a CPU",
    "e2e": "the hosts' own commands",
    "moved": "old names, wherever they lead",
    "packaging": "what is installed",
}
FOLDERS = sorted({file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")} - {Path()})


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_tests_is_one_of_code(folder):
    """Each is that of a package of the core or of an adapter, or is known to go across them."""
    assert str(folder) in ACROSS or any((package / folder).is_dir() for package in PACKAGES)


def test_what_goes_across_exists():
    """No exception is kept for a folder that is gone or has a package by now."""
    for name in ACROSS:
        assert Path(name) in FOLDERS
        assert not any((package / name).exists() for package in PACKAGES)
