"""The same request writes what it wrote before tasks were folders: data sets outlive their code."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import read_metadata


def digest(folder):
    """Of all that is in the files of a folder: rows, metadata, cards."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode())
        if path.suffix == ".parquet":
            rows = pq.read_table(path).to_pylist()
            found.update(json.dumps([rows, read_metadata(path)], sort_keys=True).encode())
        else:
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


@pytest.mark.parametrize(
    ("command", "folder", "expected"),
    [
        # As commit f3d9810 wrote them, by these commands.
        ("countdown", "countdown", "2b222931670dc4bf"),
        (
            """countdown --numbers 4 --mix 0:1:3 --edit step --ending backtrack --error-rate 0.7 --follow 0.2
            --backtracking 0.5 --variants 1 --seed 5 --largest-operand 12""",
            "countdown4",
            "b0316ea5c6ec5a4f",
        ),
        ("addition", "addition", "b162ce88052fd7fc"),
        (
            """addition --base 16 --operations + --answer direct --smallest 2 --largest 3 --longest 5
            --mix 1:2:0 --error-rate 0.4 --seed 3""",
            "addition",
            "02e6621f44721127",
        ),
        ("chain", "chain", "489b1eefbd6a5a6f"),
        (
            "chain --modulus 23 --pairing single --edit step --error-rate 0.1 --backtracking 1 --mix 0:1",
            "chain",
            "54692f758cda04be",
        ),
        ("dag", "dag", "1da58e1792e82284"),
        ("dag --retry-rate 0.3 --pairing paired --mix 1:1:1 --modulus 7", "dag", "8e48a7f060365253"),
        ("dag --backtracking 0", "dag", "7d1e5755587ceb3f"),
    ],
)
def test_files_are_those_of_before(tmp_path, command, folder, expected):
    """Problems, traces and card, for defaults and for every option that decides them."""
    asked = [*command.split(), "--train", "40", "--test", "10", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["data", *asked])
    assert done.exit_code == 0, done.output
    assert digest(tmp_path / folder) == expected
