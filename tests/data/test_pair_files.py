"""Files of pairs: what is written is read, and what could teach nothing is refused by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.data.pair_files import PairRow, fault, pair_of, read_pairs, write_pairs
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.trace_files import FINGERPRINT, TraceRow, fingerprint
from halluc_plugin.errors import DataError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN

IDS = st.lists(st.integers(0, 3), max_size=6)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


def written(tokenizer, path, *rows):
    """A file of rows as they are, of this tokenizer."""
    write_parquet(path, rows, {FINGERPRINT: fingerprint(tokenizer)})
    return path


@pytest.mark.parametrize("erased", [None, [True, False]])
def test_what_is_written_is_read(tokenizer, tmp_path, erased):
    """Ids and columns of erased tokens come back as they were."""
    rows = [PairRow([1], [2, 3], [2, 4], erased, erased), PairRow([5], [6, 7], [8, 9], erased, erased)]
    assert write_pairs(tmp_path / "pairs.parquet", rows, tokenizer) == 2
    assert read_pairs(tmp_path / "pairs.parquet", tokenizer) == rows


def test_sides_may_bring_a_prompt_each(tokenizer, tmp_path):
    """Equal prompts of the sides are the pair's prompt."""
    row = {"chosen_prompt_ids": [1], "rejected_prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3]}
    assert read_pairs(written(tokenizer, tmp_path / "p.parquet", row), tokenizer) == [PairRow([1], [2], [3])]


@given(IDS, IDS, IDS)
def test_the_shared_beginning_is_the_longest_one(beginning, one, other):
    """Up to it the sides agree; at it they differ, or one of them ends."""
    row = PairRow([1], beginning + one, beginning + other)
    assert row.chosen_ids[: row.shared] == row.rejected_ids[: row.shared]
    assert row.shared >= len(beginning)
    assert row.chosen_ids[row.shared : row.shared + 1] != row.rejected_ids[row.shared : row.shared + 1] or (
        row.chosen_ids == row.rejected_ids
    )


@given(IDS, IDS)
def test_a_sound_pair_has_two_sides_with_tokens_of_their_own(chosen, rejected):
    """Nothing is found wrong with a pair exactly if neither side begins with the other."""
    apart = chosen[: len(rejected)] != rejected and rejected[: len(chosen)] != chosen
    assert (fault(PairRow([1], chosen, rejected)) is None) is apart


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [2, 3]}, "row 0: both sides are equal"),
        ({"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [2, 3]}, "the whole chosen side"),
        ({"prompt_ids": [1], "chosen_ids": [], "rejected_ids": [3]}, "the chosen side is empty"),
        ({"prompt_ids": [], "chosen_ids": [2], "rejected_ids": [3]}, "the prompt is empty"),
        ({"chosen_ids": [2], "rejected_ids": [3]}, "row 0 has no prompt"),
        (
            {"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3], "rejected_erased": [True, False]},
            "rejected_erased has 2 values for 1 ids",
        ),
        (
            {"chosen_prompt_ids": [1], "rejected_prompt_ids": [4], "chosen_ids": [2], "rejected_ids": [3]},
            "row 0 is a pair of two problems",
        ),
    ],
)
def test_pairs_that_teach_nothing_are_refused(tokenizer, tmp_path, row, told):
    """The message names file, row and fault in one line."""
    with pytest.raises(DataError, match=told) as refused:
        read_pairs(written(tokenizer, tmp_path / "pairs.parquet", row), tokenizer)
    assert "\n" not in str(refused.value)


def test_another_tokenizers_ids_are_refused(tokenizer, tmp_path):
    """Ids are never read by a tokenizer that gives them to other tokens."""
    write_pairs(tmp_path / "pairs.parquet", [PairRow([1], [2], [3])], tokenizer)
    with pytest.raises(DataError, match="those of tokenizer"):
        read_pairs(tmp_path / "pairs.parquet", number_tokenizer())


def test_traces_of_two_problems_make_no_pair():
    """Two prompts, or two equal traces, are refused; anything else keeps its columns."""
    one, other = TraceRow([1], [2, 3], [True, False]), TraceRow([1], [4], [False])
    assert pair_of(one, other) == PairRow([1], [2, 3], [4], [True, False], [False])
    with pytest.raises(DataError, match="two problems"):
        pair_of(one, TraceRow([7], [4]))
    with pytest.raises(DataError, match="equal"):
        pair_of(one, one)
