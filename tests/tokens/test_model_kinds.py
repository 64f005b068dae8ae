"""Which commands work on which kinds of models is what the table of docs/compatibility.md says."""

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "model_kinds.py"))
KNOWN = json.loads((ROOT / "scripts" / "model_kinds.json").read_text())
KINDS = list(SCRIPT["configs"]())


def test_the_table_has_all():
    """Every kind has a result of every check."""
    assert list(KNOWN) == KINDS
    assert all(list(results) == list(SCRIPT["CHECKS"]) for results in KNOWN.values())


def test_the_token_can_be_added_everywhere():
    """Adding, fine-tuning in soft context and writing traces work on every kind, with a window too."""
    for results in KNOWN.values():
        assert {results[check] for check in ("`add-token`", "`data inject`", "`train`")} == {"works"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_table_is_current(kind):
    """The commands do on a model made now what the table says."""
    assert SCRIPT["results_of"](kind) == KNOWN[kind]
