"""Delimiters of real tokenizers: byte-level BPE, Metaspace BPE with byte fallback, characters."""

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from halluc_plugin.edits import EditVocab, collapse, find_delimiters
from halluc_plugin.errors import EditVocabError

LINES = [f"{a}\n\n{b}.\n{a}" for a in "0123456789" for b in "abcdefghij"]


def byte_level():
    """A byte-level BPE without splitting, so that ".", newlines and spaces merge as in big tokenizers."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>\n"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>\n")
    tokenizer.add_tokens([AddedToken("<|BACKTRACK_STEP|>", special=False, normalized=False)])
    return tokenizer


def metaspace():
    """A sentencepiece-like BPE whose newline exists as the byte token <0x0A> only."""
    pieces = ["<unk>", "<0x0A>", "\u2581", "a", ".", "\u2581a", "a."]
    merges = [("\u2581", "a"), ("a", ".")]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


@pytest.fixture(scope="module")
def tokenizer():
    """The byte-level tokenizer."""
    return byte_level()


def test_merged_tokens_are_delimiters_too(tokenizer):
    """Among the ids for a newline are those of a bare one, of ".⏎" and of "⏎⏎", by their decoded text."""
    found = find_delimiters(tokenizer, "\n")
    texts = {tokenizer.decode([i]) for i in found}
    assert {"\n", ".\n", "\n\n"} <= texts
    assert found == {
        i
        for i in range(len(tokenizer))
        if tokenizer.decode([i]).endswith("\n") and i not in tokenizer.all_special_ids
    }


def test_special_tokens_end_no_step(tokenizer):
    """EOS is left out, whatever its text ends with."""
    assert tokenizer.decode([tokenizer.eos_token_id]).endswith("\n")
    assert tokenizer.eos_token_id not in find_delimiters(tokenizer, "\n")


def test_edit_tokens_can_be_left_out(tokenizer):
    """A delimiter that an edit token's own text ends with would make the vocabulary contradict itself."""
    (step,) = tokenizer.convert_tokens_to_ids(["<|BACKTRACK_STEP|>"])
    tail = find_delimiters(tokenizer, ">")
    assert step in tail
    assert find_delimiters(tokenizer, ">", edit_ids=frozenset({step})) == tail - {step}


def test_a_step_backtrack_stops_after_merged_delimiters(tokenizer):
    """On real ids: after "3 + 4 = 7.⏎⏎So 8" a step backtrack leaves the first sentence with its newlines."""
    (step,) = tokenizer.convert_tokens_to_ids(["<|BACKTRACK_STEP|>"])
    vocab = EditVocab(0, step=step, step_delimiters=find_delimiters(tokenizer, "\n"))
    ids = tokenizer.encode("3 + 4 = 7.\n\nSo 8")
    assert ids[-1] not in vocab.step_delimiters
    assert tokenizer.decode(collapse([*ids, step], vocab)) == "3 + 4 = 7.\n\n"


def test_byte_tokens_are_read_as_bytes():
    """A newline that is written as <0x0A> is found, and a delimiter may be any text."""
    assert find_delimiters(metaspace(), "\n") == {1}
    assert find_delimiters(metaspace(), ".") == {4, 6}


def test_delimiters_no_token_can_write_are_refused(tokenizer):
    """An empty delimiter ends everything, an unknown one nothing."""
    with pytest.raises(EditVocabError, match=r"The step delimiter is empty. Fix: Give a text"):
        find_delimiters(tokenizer, "")
    with pytest.raises(EditVocabError, match="No token of the tokenizer ends with the step delimiter '=>'"):
        find_delimiters(tokenizer, "=>")
