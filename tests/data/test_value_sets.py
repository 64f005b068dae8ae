"""Sets of value rows: balanced, mixed, and refused where that cannot be."""

from dataclasses import replace

import pytest

from halluc_plugin.data.value_files import ValueRow, write_values
from halluc_plugin.data.value_sets import balanced, mixed, read_any, require_both
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.scratch.tokenizer import number_tokenizer

TOKENIZER = number_tokenizer()


def rows_of(right, wrong, first=0):
    """So many right rows, then so many wrong ones; the prompt numbers them."""
    kinds = [True] * right + [False] * wrong
    return [
        ValueRow("s", [first + i], [[5]], [None, float(kind)], correct=kind) for i, kind in enumerate(kinds)
    ]


def test_as_many_right_as_wrong():
    """The fewer are all kept, of the others as many are drawn by the seed; the order is kept."""
    rows = rows_of(3, 40)
    kept = balanced(rows, 0)
    assert kept[:3] == rows[:3]
    assert len(kept) == 6
    numbers = [row.prompt_ids[0] for row in kept]
    assert numbers == sorted(set(numbers))
    assert balanced(rows, 0) == kept != balanced(rows, 1)
    assert balanced(rows_of(2, 2), 5) == rows_of(2, 2)


@pytest.mark.parametrize(("counts", "kind"), [((4, 0), "right"), ((0, 4), "wrong")])
def test_rows_of_one_kind_cannot_be_balanced(counts, kind):
    """One line says of which kind all are, and where."""
    for refuse in (
        lambda rows: balanced(rows, 0, "own.parquet"),
        lambda rows: require_both(rows, "own.parquet"),
    ):
        with pytest.raises(
            DataError, match=f"All 4 responses in own.parquet are {kind}, .* --balance"
        ) as raised:
            refuse(rows_of(*counts))
        assert "\n" not in str(raised.value)
    require_both(rows_of(1, 1), "own.parquet")


def test_files_are_mixed_by_shares():
    """As many rows as the scarcest file allows at these weights, none twice."""
    one, other = rows_of(30, 0), rows_of(0, 8, first=100)
    found = mixed([one, other], [3, 1], 0)
    assert [row.correct for row in found] == [True] * 24 + [False] * 8
    assert len({row.prompt_ids[0] for row in found}) == 32
    assert len(mixed([one, other], [1, 1], 0)) == 16
    assert mixed([one, other], [3, 1], 0) == found != mixed([one, other], [3, 1], 1)
    assert len(mixed([rows_of(10, 0)] * 2, [0.1, 0.3], 0)) == 13


@pytest.mark.parametrize(("weights", "told"), [([1], "Weights"), ([1, 0], "Weights"), ([1, 100], "no row")])
def test_weights_that_give_no_mixture_are_refused(weights, told):
    """Not one for each file, not above 0, or too far apart for these files."""
    with pytest.raises(SettingsError, match=told):
        mixed([rows_of(5, 0), rows_of(0, 5)], weights, 0)


def test_any_file_is_read(tmp_path):
    """Values as they were written, for steps that end so; JSON as published labels."""
    row = replace(rows_of(1, 0)[0], step_ids=[TOKENIZER.encode("5\n")])
    write_values(tmp_path / "v.parquet", [row], TOKENIZER, step_delimiter="\n")
    assert read_any(tmp_path / "v.parquet", TOKENIZER, step_delimiter="\n") == [row]
    with pytest.raises(DataError, match="Steps in"):
        read_any(tmp_path / "v.parquet", TOKENIZER, step_delimiter=".")
    (tmp_path / "p.json").write_text('[{"problem": "1+1", "steps": ["2"], "label": -1}]')
    (read,) = read_any(tmp_path / "p.json", TOKENIZER, step_delimiter="\n")
    assert (read.data_source, read.values) == ("processbench", [None, 1.0])
