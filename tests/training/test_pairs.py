"""Pairs as a batch: what counts, what is held out, mismatched responses, and what is refused."""

import pytest
import torch

from halluc_plugin.data.pair_files import PairRow, write_pairs
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError
from halluc_plugin.losses.preference import Preference
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training.pairs import Example, PairCollator, hold_out, mismatch
from tests.training.preference_cases import pairs, settings_of, tokenizer, trained

__all__ = ["pairs", "tokenizer"]  # fixtures


@pytest.mark.parametrize(
    ("erased", "counted"),
    [
        (ErasedTokens.MASK, [[0, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]),
        (ErasedTokens.KEEP, [[0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]),
    ],
)
def test_what_counts_by_hand(tokenizer, erased, counted):
    """Imitated tokens behind the shared beginning count, though one side takes back a token of it."""
    vocab = vocab_of(tokenizer)
    b = vocab.backtrack
    rows = [PairRow([1], [2, 3, b, 4], [2, 3, 5, 6, 7]), PairRow([1, 2], [4, b], [5, b, 6])]
    batch = PairCollator(vocab, 0, erased)([Example(row) for row in rows])
    want = torch.tensor(counted).bool()
    if erased is ErasedTokens.MASK:  # the edit counts, what it takes back does not
        want[1, 1], want[3, 1], want[3, 2] = True, True, True
    assert batch["counted"].tolist() == want.tolist()
    # Of the first chosen side the beginning is imitated, but for the 3, which is taken back.
    assert batch["imitated"][0].tolist() == [True, erased is ErasedTokens.KEEP, True, True, False]
    assert batch["response_ids"].tolist()[1] == [4, b, 0, 0, 0]


def test_a_side_that_is_masked_out_is_refused(tokenizer, tmp_path):
    """A side whose own tokens are all taken back in words has nothing to compare; kept, it has."""
    rows = [
        PairRow([1], [2, 3], [2, 4], [False, False], [False, True]),
        PairRow([5], [2, 3], [2, 4], [False, False], [False, False]),
    ]
    write_pairs(tmp_path / "pairs.parquet", rows, tokenizer)
    settings = settings_of(Preference.DPO, steps=1)
    with pytest.raises(
        DataError, match=r"Pair 0: of the rejected side no token counts.*--erased-tokens keep"
    ):
        trained(tokenizer, tmp_path / "pairs.parquet", settings, tmp_path / "out")
    kept = settings_of(Preference.DPO, steps=1, erased_tokens=ErasedTokens.KEEP)
    assert trained(tokenizer, tmp_path / "pairs.parquet", kept, tmp_path / "out").loss > 0


def test_problems_are_held_out_whole(tokenizer):
    """No problem has pairs on both sides; one problem alone cannot be divided, and 0 holds out nothing."""
    rows = [PairRow([n % 5], [n + 10], [n + 40]) for n in range(20)]
    train, held = hold_out(rows, 0.4, seed=3)
    assert len(held) == 8
    assert {row.prompt_ids[0] for row in train}.isdisjoint(row.prompt_ids[0] for row in held)
    assert hold_out(rows, 0, seed=3) == (rows, [])
    with pytest.raises(DataError, match="--held-out 0"):
        hold_out(rows[::5], 0.1, seed=3)


def test_mismatched_responses_are_of_another_problem(tokenizer):
    """A pair's beginning stands before what another problem's pair has behind its own; columns follow."""
    rows = [
        PairRow([n], [50, n + 10, 9], [50, n + 20, 9], [False] * 3, [False, True, False]) for n in range(4)
    ]
    rows.append(PairRow([0], [7], [8], [False], [False]))
    examples = mismatch(rows, seed=0)
    assert [each.pair for each in examples] == rows
    for each in examples:
        begun = each.pair.shared
        ids = each.mismatched.response_ids
        (owner,) = {
            row.prompt_ids[0]
            for row in rows
            for side in row.sides
            if side.response_ids[row.shared :] == ids[begun:]
        }
        assert ids[:begun] == each.pair.chosen_ids[:begun]
        assert each.mismatched.prompt_ids == each.pair.prompt_ids != [owner]
        assert len(each.mismatched.erased) == len(ids)
    with pytest.raises(DataError, match="All pairs are of one problem"):
        mismatch([rows[0], rows[4]], seed=0)
