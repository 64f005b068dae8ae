"""How far a number of tokens goes on pairs."""

from halluc_plugin.data.pair_files import PairRow, read_pairs, write_pairs
from halluc_plugin.recipes.lab.pair_budget import pair_budget
from halluc_plugin.scratch.tokenizer import number_tokenizer

TOKENIZER = number_tokenizer()


def pairs(path, count):
    """Pairs of 10 ids: a prompt of two ids for each side, and three of each."""
    rows = [PairRow([1, 2], [3, 4, 5], [6, 7, 8]) for _ in range(count)]
    write_pairs(path, rows, TOKENIZER)
    return path


def test_the_reference_is_paid_for(tmp_path):
    """Of 1000 tokens 10 pairs take 100; steps of 4 pairs take 40 each, and 22 of them are nearest."""
    path = pairs(tmp_path / "pairs.parquet", 10)
    told = pair_budget(path, TOKENIZER, 1000, 4, 0)
    assert (told.path, told.steps, told.trained) == (path, 22, 22 * 40 + 100)


def test_more_pairs_than_a_quarter_of_the_tokens_are_drawn_from(tmp_path):
    """1000 tokens read 25 of 100 pairs once, 250 tokens; the rest makes 19 steps. A second call agrees."""
    path = pairs(tmp_path / "pairs.parquet", 100)
    told = pair_budget(path, TOKENIZER, 1000, 4, 0)
    assert told.path != path
    assert len(read_pairs(told.path, TOKENIZER)) == 25
    assert (told.steps, told.trained) == (19, 19 * 40 + 250)
    assert pair_budget(path, TOKENIZER, 1000, 4, 0) == told


def test_a_single_step_is_made_of_too_few_tokens(tmp_path):
    """Nothing can be trained with less; what it takes is said."""
    told = pair_budget(pairs(tmp_path / "pairs.parquet", 3), TOKENIZER, 5, 4, 0)
    assert (told.steps, told.trained) == (1, 40 + 10)
