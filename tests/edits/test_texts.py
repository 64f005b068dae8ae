"""Texts of single tokens of real tokenizers: joined they are the text, blanks and characters whole."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import EditVocab, find_delimiters
from halluc_plugin.edits.texts import token_texts
from halluc_plugin.trace_log import TraceLog, logged_trace, read_step
from halluc_plugin.viewer import answer, sampled
from halluc_plugin.viewer.sources.run import of_log

BACK = "<|BACKTRACK|>"


def with_backtrack(backend):
    """A tokenizer with the edit token as ours is added."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    tokenizer.add_tokens([AddedToken(BACK, special=False, normalized=False)])
    return tokenizer


def byte_level():
    """Every byte a token, as rare characters are in GPT-2's, Llama-3's and Qwen's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return with_backtrack(backend)


def unigram():
    """A sentencepiece unigram model with Metaspace."""
    pieces = [
        "<unk>",
        "\u2581",
        "\u258112",
        "\u2581plus",
        "\u25815",
        "\u2581makes",
        "\u258117",
        "8",
        "。",
        "你好",
        "\n",
    ]
    backend = Tokenizer(models.Unigram([(piece, -1.0 - i / 9) for i, piece in enumerate(pieces)], unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return with_backtrack(backend)


def byte_fallback():
    """Llama-2's decoder: bytes as tokens, a blank stripped in front."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "\u2581a"]
    backend = Tokenizer(
        models.BPE(
            {piece: i for i, piece in enumerate(pieces)},
            [("\u2581", "a")],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return with_backtrack(backend)


TOKENIZERS = {"byte level": byte_level(), "unigram": unigram(), "byte fallback": byte_fallback()}


def logged(tokenizer, ids):
    """A record of these ids."""
    width = len(ids)
    return logged_trace(
        step=1, answer="a", prompt=[], response=ids, response_mask=[1] * width, advantages=[0.0] * width,
        reward=0.0, scores={}, tokenizer=tokenizer, vocab=EditVocab(tokenizer.convert_tokens_to_ids(BACK)),
    )  # fmt: skip


def test_sentencepiece_keeps_its_blanks():
    """The log and the viewer of ``12 plus 5 makes 18 ⌫⌫ 17``, token by token and as a whole."""
    tokenizer = TOKENIZERS["unigram"]
    back = tokenizer.convert_tokens_to_ids(BACK)
    ids = tokenizer.encode("12 plus 5 makes", add_special_tokens=False)
    ids += [tokenizer.convert_tokens_to_ids("8"), back, tokenizer.convert_tokens_to_ids("\u258117")]
    trace = logged(tokenizer, ids)
    assert trace.tokens == ["12", " plus", " 5", " makes", "8", BACK, " 17"]
    assert sampled(of_log(trace)).plain == "12 plus 5 makes8⌫ 17"
    assert answer(of_log(trace)).plain == trace.text == "12 plus 5 makes 17"


def test_a_character_over_several_tokens_belongs_to_the_last():
    """Chinese in three tokens and an emoji in four, none of them U+FFFD."""
    tokenizer = TOKENIZERS["byte level"]
    ids = tokenizer.encode("你🙂x", add_special_tokens=False)
    assert token_texts(tokenizer, ids) == ["", "", "你", "", "", "", "🙂", "x"]
    assert TOKENIZERS["byte fallback"].decode(ids := TOKENIZERS["byte fallback"].encode("a你")) == "a你"
    assert token_texts(TOKENIZERS["byte fallback"], ids) == ["a", "", "", "你"]


def test_half_a_character_that_is_taken_back(tmp_path):
    """It shows as broken and erased, the edit as an edit, and what is left is the whole character."""
    tokenizer = TOKENIZERS["byte level"]
    back = tokenizer.convert_tokens_to_ids(BACK)
    first, second, third = tokenizer.encode("你", add_special_tokens=False)
    trace = logged(tokenizer, [first, second, back, second, third])
    assert trace.tokens == ["", "\ufffd", BACK, "", "\ufffd\ufffd"]
    assert (trace.text, sampled(of_log(trace)).plain) == ("你", "\ufffd⌫\ufffd\ufffd")
    TraceLog(tmp_path, max_megabytes=1).write(1, [trace])
    shown = CliRunner().invoke(app, ["view", str(tmp_path)])
    assert "answer   你" in shown.output


def test_records_without_the_whole_text_are_read(tmp_path):
    """Those of older versions, whose answer is put together from their tokens."""
    trace = logged(TOKENIZERS["byte level"], TOKENIZERS["byte level"].encode(f"ab{BACK}c"))
    old = {name: value for name, value in trace.__dict__.items() if name != "text"}
    (tmp_path / "step-000001.jsonl").write_text(json.dumps(old) + "\n")
    (read,) = read_step(tmp_path / "step-000001.jsonl")
    assert (read.text, answer(of_log(read)).plain) == (None, "ac")


@pytest.mark.parametrize("name", ["byte level", "unigram"])
@given(data=st.data())
def test_joined_they_are_the_text(name, data):
    """For any ids: bytes that are no characters, blanks, edits."""
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=12))
    texts = token_texts(tokenizer, ids)
    assert len(texts) == len(ids)
    assert "".join(texts) == tokenizer.decode(ids)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=st.text(alphabet="ab 12\n你🙂。é", max_size=12))
def test_joined_they_are_the_text_that_was_encoded(name, text):
    """For any text that the tokenizer can write."""
    tokenizer = TOKENIZERS[name]
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert "".join(token_texts(tokenizer, ids)) == tokenizer.decode(ids)


def test_garbage_is_not_decoded_over_and_over():
    """Thousands of bytes that never make a character take time in proportion to their number."""
    tokenizer = TOKENIZERS["byte level"]
    lead = tokenizer.encode("你", add_special_tokens=False)[0]
    longest = 0

    class Watched:
        def decode(self, ids):
            nonlocal longest
            longest = max(longest, len(ids))
            return tokenizer.decode(ids)

    assert "".join(token_texts(Watched(), [lead] * 500)) == "\ufffd" * 500
    assert longest < 50


def test_a_delimiter_may_begin_with_a_blank():
    """Of a sentencepiece tokenizer too, whose decoder strips it from a token alone."""
    tokenizer = TOKENIZERS["unigram"]
    found = find_delimiters(tokenizer, " plus")
    assert found == {tokenizer.convert_tokens_to_ids("\u2581plus")}
    assert tokenizer.convert_tokens_to_ids("\u2581") in find_delimiters(tokenizer, " ")


def test_terminals_get_whole_texts():
    """Erased and kept tokens have their styles whatever the tokenizer."""
    tokenizer = TOKENIZERS["unigram"]
    back = tokenizer.convert_tokens_to_ids(BACK)
    trace = logged(tokenizer, [*tokenizer.encode("12 plus"), back, *tokenizer.encode("5")])
    console = Console(width=60, record=True)
    console.print(sampled(of_log(trace)))
    assert "12 plus⌫ 5" in console.export_text()
