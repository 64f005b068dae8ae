"""Files of step values: what is written is read again, and what no scorer could be trained on is refused."""

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.value_files import (
    ValueRow,
    fault,
    read_delimiter,
    read_values,
    value_metadata,
    write_values,
)
from halluc_plugin.errors import DataError
from halluc_plugin.scratch.tokenizer import number_tokenizer

TOKENIZER = number_tokenizer()
EOS = TOKENIZER.eos_token_id


def ids(text):
    """The ids of a text."""
    return TOKENIZER.encode(text)


ROW = ValueRow(
    data_source="halluc/chain",
    prompt_ids=ids("3 +4 *7 mod 10\n"),
    step_ids=[ids("3+4=7\n"), [*ids("7*7=9\n"), EOS]],
    values=[0.5, None, 1.0],
    correct=True,
    rollouts=4,
)


@pytest.fixture
def written(tmp_path):
    """Writes rows and gives the path."""

    def write(*rows, delimiter="\n", tokenizer=TOKENIZER):
        path = tmp_path / "v.parquet"
        assert write_values(path, rows, tokenizer, step_delimiter=delimiter) == len(rows)
        return path

    return write


def test_rows_are_read_as_they_were_written(written):
    """Unknown values stay unknown, and the file says what ends its steps."""
    rows = [ROW, replace(ROW, values=[None, None, 0.0], correct=False)]
    path = written(*rows)
    assert read_values(path, TOKENIZER) == rows
    assert read_values(path, TOKENIZER, step_delimiter="\n", data_sources={"halluc/chain"}) == rows
    assert read_delimiter(path) == "\n"


def test_a_file_that_does_not_say_where_turns_begin_has_none(tmp_path):
    """Files of before, and files joined of parts of before and after, are read as they are."""
    said = {name: value for name, value in asdict(ROW).items() if name != "turn_ids"}
    metadata = value_metadata(TOKENIZER, "\n")
    for rows in ([said], [{**said, "turn_ids": None}, {**said, "turn_ids": 2}]):
        write_parquet(tmp_path / "v.parquet", rows, metadata)
        read = read_values(tmp_path / "v.parquet", TOKENIZER)
        assert [row.turn_ids for row in read] == [0, 2][: len(rows)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"prompt_ids": []}, "the prompt or the response is empty"),
        ({"step_ids": [], "values": [0.5]}, "the prompt or the response is empty"),
        ({"step_ids": [[], ids("1\n")]}, "step 1 is empty"),
        ({"step_ids": [ids("3+4=7"), ids("7*7=9\n")]}, "step 1 of 2 has no end"),
        ({"step_ids": [ids("3+4=7"), ids("7*7=9")]}, "step 1 of 2 has no end"),
        ({"step_ids": [ids("3+4=7\n"), ids("7*7=9")]}, "step 2 of 2 has no end"),
        ({"turn_ids": len(ROW.prompt_ids)}, "ids are earlier turns"),
        ({"values": [0.5, 1.0]}, "2 values for 2 steps"),
        ({"values": [0.5, 1.25, 1.0]}, r"the value 1.25 is outside \[0, 1\]"),
        ({"values": [-0.1, None, 1.0]}, r"the value -0.1 is outside \[0, 1\]"),
        ({"values": [float("nan"), None, 1.0]}, r"the value nan is outside \[0, 1\]"),
    ],
)
def test_a_row_that_cannot_be_learned_from_is_refused_by_its_number(written, change, told):
    """One line says which row it is and what is wrong with it."""
    path = written(ROW, replace(ROW, **change))
    with pytest.raises(DataError, match=f"row 1: .*{told}") as raised:
        read_values(path, TOKENIZER)
    assert "\n" not in str(raised.value)


def test_values_for_another_model_or_task_are_refused(written):
    """Another tokenizer's ids, steps that end otherwise, problems of another source."""
    path = written(ROW)
    with pytest.raises(DataError, match="those of tokenizer"):
        read_values(path, number_tokenizer(largest=20))
    with pytest.raises(DataError, match=r"end with '\\n', those of the model with '\.'"):
        read_values(path, TOKENIZER, step_delimiter=".")
    with pytest.raises(DataError, match="row 0 is of halluc/chain, not of halluc/word"):
        read_values(path, TOKENIZER, data_sources={"halluc/word"})


def test_no_rows_are_refused(written):
    """A file without rows trains nothing."""
    with pytest.raises(DataError, match="no rows"):
        written()


@given(st.lists(st.floats(), min_size=2, max_size=2))
def test_exactly_the_values_of_probabilities_pass(values):
    """A value passes where it is at least 0 and at most 1, and nowhere else."""
    row = replace(ROW, step_ids=[ids("3\n")], values=values)
    assert (fault(row) is None) == all(0 <= value <= 1 for value in values)
