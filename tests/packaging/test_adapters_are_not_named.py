"""The method knows no adapter, not even by name in a text."""

from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "halluc_plugin"
ADAPTERS = ("verl_ext", "lm_eval_tasks", "hydra_plugins")


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_no_file_of_the_core_names_an_adapter(adapter):
    """Neither modules nor data files do; the recipes, which are configuration of hosts, are not the core."""
    files = [path for path in CORE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    ours = [path for path in files if "recipes" not in path.relative_to(CORE).parts]
    assert len(ours) > 100
    assert [str(path) for path in ours if adapter.encode() in path.read_bytes()] == []
