"""Settings shared by all tests, and a file of references that several folders read."""

import pytest
from hypothesis import settings

from halluc_plugin.data.parquet import write_parquet

# A slow example on a busy machine is no failure.
settings.register_profile("halluc", deadline=None)
settings.load_profile("halluc")


def pytest_collection_modifyitems(items):
    """Start with the longest file, so that the other worker has the rest to do beside it."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture
def references(tmp_path):
    """A file of two chains with their answers."""
    rows = [
        {
            "data_source": "halluc/chain",
            "prompt": [{"role": "user", "content": prompt}],
            "reward_model": {"style": "rule", "ground_truth": {"modulus": 10, "form": "steps"} | truth},
            "extra_info": {"answer": answer},
        }
        for prompt, truth, answer in (
            ("3 +4 *7 mod 10\n", {"start": 3, "operations": ["+4", "*7"]}, "3+4=7\n7*7=9\n"),
            ("1 +1 mod 10\n", {"start": 1, "operations": ["+1"]}, "1+1=2\n"),
        )
    ]
    path = tmp_path / "rows.parquet"
    write_parquet(path, rows, {})
    return path
