"""Files in parts: the same bytes for any number of workers, on from where a run was interrupted."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import read_metadata, read_rows_in_groups
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.errors import DataError, SettingsError


def squares(number, items):
    """Rows of the even items, with the number of the part."""
    rows = [{"item": item, "square": item * item, "part": number} for item in items if item % 2 == 0]
    return rows, Counter(seen=len(items), kept=len(rows))


def parted(path, make=squares, **described):
    """A file of parts of three items."""
    return PartedFile(path, make, described, {"seed": 5}, items_per_part=3)


def test_a_file_of_parts(tmp_path):
    """Rows are in order, counts are summed, a part may have no rows, and nothing is left beside the file."""
    path = tmp_path / "f.parquet"
    assert parted(path).write([0, 2, 4, 1, 3, 5, 6]) == (4, {"seen": 7, "kept": 4})
    rows = list(read_rows_in_groups(path))
    assert [(row["item"], row["square"], row["part"]) for row in rows] == [
        (0, 0, 0),
        (2, 4, 0),
        (4, 16, 0),
        (6, 36, 2),
    ]
    assert read_metadata(path) == {"seed": 5}
    assert [file.name for file in tmp_path.iterdir()] == ["f.parquet"]


def test_an_interrupted_file_goes_on(tmp_path):
    """Parts that were made are not made again; the file is as if nothing had happened."""
    path, whole = tmp_path / "f.parquet", tmp_path / "whole.parquet"
    made = []

    def fails_at_two(number, items):
        if number == 2:
            raise RuntimeError("killed")
        return squares(number, items)

    def counts(number, items):
        made.append(number)
        return squares(number, items)

    with pytest.raises(RuntimeError, match="killed"):
        parted(path, fails_at_two).write(range(10))
    assert not path.exists()
    parted(path, counts).write(range(10))
    assert made == [2, 3]
    parted(whole).write(range(10))
    assert path.read_bytes() == whole.read_bytes()


def test_parts_of_another_request_are_thrown_away(tmp_path):
    """What was made for other settings is not taken over."""
    path = tmp_path / "f.parquet"

    def fails_at_one(number, items):
        if number == 1:
            raise RuntimeError("killed")
        return [{"item": -1, "square": -1, "part": -1}], Counter()

    with pytest.raises(RuntimeError, match="killed"):
        parted(path, fails_at_one, rate=1).write(range(6))
    parted(path, rate=2).write(range(6))
    assert [row["item"] for row in read_rows_in_groups(path)] == [0, 2, 4]


def test_what_cannot_be_written(tmp_path):
    """No rows at all, and no workers, are refused."""
    with pytest.raises(DataError, match="no rows"):
        parted(tmp_path / "f.parquet").write([1, 3])
    with pytest.raises(SettingsError, match="workers"):
        parted(tmp_path / "f.parquet").write([2], workers=0)


def test_data_sets_are_the_same_with_workers(tmp_path):
    """`halluc data countdown --workers 2` writes the bytes of one worker."""
    args = ["data", "countdown", "--numbers", "4", "--train", "1500", "--test", "5", "--variants", "2"]
    for name, workers in (("one", "1"), ("two", "2")):
        result = CliRunner().invoke(app, [*args, "--out", str(tmp_path / name), "--workers", workers])
        assert result.exit_code == 0, result.output
    one, two = (tmp_path / name / "countdown4" for name in ("one", "two"))
    assert {file.name for file in one.iterdir()} == {file.name for file in two.iterdir()}
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()
    traces = json.loads((one / "card.json").read_text())["traces"]
    assert traces["clean"] >= 1500
    assert traces["backtracking"] + traces["no_error_possible"] == traces["clean"]
