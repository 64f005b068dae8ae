"""Rows that people bring: what verl takes is taken by every command, and what nobody can use is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.parquet import read_rows_in_groups, storable, write_parquet
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.rows import extra_info, plain
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.verifiers import Outcome
from tests.data.conftest import ANSWER, ASKED, ROW, lines, run

EXTRA_INFOS = {
    "a mapping": {"answer": ANSWER},
    "JSON text": json.dumps({"answer": ANSWER}),
    "other text": "no JSON {",
    "a list": [1, "x"],
    "a number": 3,
    "nothing": None,
    "an int answer": {"answer": 9},
    "no answer": {"index": 1},
    "an empty mapping": {},
}


@pytest.mark.parametrize("kind", EXTRA_INFOS)
@pytest.mark.parametrize("suffix", ["parquet", "json", "jsonl"])
def test_any_extra_info_in_any_file_is_accepted(tokenizer, tmp_path, kind, suffix):
    """Whoever judges answers reads the same problem from it."""
    if (kind, suffix) == ("an empty mapping", "parquet"):
        kind = "nothing"  # parquet has no empty mappings
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        if kind == "a list":
            pytest.skip("a parquet column has one type")
        write_parquet(path, [ROW | {"extra_info": EXTRA_INFOS[kind]}], {})
    else:
        lines(path, ROW | {"extra_info": EXTRA_INFOS[kind]})
    (problem,) = read_problems(path, tokenizer)
    assert tokenizer.decode(list(problem.prompt)) == ASKED
    assert problem.verifier.verify(problem.truth, ANSWER) is Outcome.CORRECT
    assert problem.verifier.verify(problem.truth, "3+4=7\n7*7=8\n") is Outcome.WRONG


def test_a_missing_extra_info_is_no_fault(tokenizer, tmp_path):
    """Not in the file at all, or left out of a row."""
    bare = {key: value for key, value in ROW.items() if key != "extra_info"}
    assert len(read_problems(lines(tmp_path / "bare.jsonl", bare), tokenizer)) == 1
    assert len(read_problems(lines(tmp_path / "some.jsonl", ROW, bare), tokenizer)) == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_extra_info_of_any_json(value):
    """As a value and as its text it is the same mapping, and it is never an error."""
    found = extra_info({"extra_info": value})
    assert found == (value if isinstance(value, dict) else extra_info({"extra_info": value}))
    assert isinstance(found, dict)
    if isinstance(value, dict):
        assert extra_info({"extra_info": json.dumps(value)}) == value
    assert plain(value) == value


class TestStorage:
    """Rows of any JSON go into trace files."""

    def test_columns_without_a_type_become_text(self, model, tmp_path):
        """Every row comes back as it was, read as rows are."""
        rows = [ROW | {"extra_info": {"answer": ANSWER, "more": more}} for more in (1, "x", {}, [None])]
        done = run("inject", model, lines(tmp_path / "rows.jsonl", *rows), tmp_path, "--error-rate", "0.5")
        assert done.exit_code == 0, done.exception
        kept = list(read_rows_in_groups(tmp_path / "inject-out.parquet"))
        assert [extra_info(row)["more"] for row in kept[::2]] == [1, "x", {}, [None]]
        assert storable([]) == []

    def test_what_is_empty_at_first_may_have_a_type_later(self, tmp_path):
        """Parts of a file, some without a value in a column, are one file."""

        def make(number, items):
            return [
                {"item": item, "hint": {"text": None if number == 0 else "x", "n": None}} for item in items
            ], {}

        path = tmp_path / "rows.parquet"
        PartedFile(path, make, {}, {}, items_per_part=2).write(range(4))
        assert [row["hint"]["text"] for row in read_rows_in_groups(path)] == [None, None, "x", "x"]
