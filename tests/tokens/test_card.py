"""The card of a saved model: what a reader without this package gets, and what of other cards is kept."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.edits.plain import plain_source
from halluc_plugin.errors import EditVocabError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, EDIT_TOKENS, RESTART_TOKEN, STEP_TOKEN, edit_vocab
from halluc_plugin.tokens.card import BEGIN, CARD, write_card
from halluc_plugin.tokens.loading import load_tokenizer, save_tokenizer

THEIRS = (
    "---\nlicense: mit\ntags:\n- math\nbase_model: their/base\n---\n# Their model\n\nTheir words, naïve.\n"
)


def code_of(card):
    """The function that the card's code block defines, run as a reader would."""
    (block,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    namespace = {}
    exec(block, namespace)
    return namespace["collapse"], block


def head_of(card):
    """The front matter."""
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL).group(1))


@pytest.mark.parametrize("tokens", [EDIT_TOKENS[:1], (BACKTRACK_TOKEN, STEP_TOKEN), EDIT_TOKENS])
@given(data=st.data())
def test_its_code_is_the_edit_semantics(tmp_path_factory, tokens, data):
    """On any ids, the code block of a written card gives what :func:`halluc_plugin.edits.collapse` gives."""
    tokenizer = number_tokenizer(edit_tokens=tokens)
    folder = tmp_path_factory.mktemp("card")
    write_card(folder, tokenizer, base="their/model")
    ours, block = code_of((folder / CARD).read_text(encoding="utf-8"))
    vocab = edit_vocab(tokenizer)
    often = st.sampled_from([*vocab.edit_ids, *vocab.step_delimiters, 5, 6])
    ids = data.draw(st.lists(often | st.integers(0, len(tokenizer) - 1), max_size=30))
    assert ours(ids) == collapse(ids, vocab)
    assert len(block.splitlines()) <= 20


@given(
    ids=st.lists(st.integers(0, 9), max_size=40),
    delimiters=st.frozensets(st.integers(3, 9), min_size=1),
    roles=st.permutations([0, 1, 2]),
)
def test_the_source_for_any_vocabulary(ids, delimiters, roles):
    """Whatever ids edit and end steps."""
    vocab = EditVocab(roles[0], roles[1], delimiters, roles[2])
    namespace = {}
    exec(plain_source(vocab), namespace)
    assert namespace["collapse"](ids) == collapse(ids, vocab)


class TestWriting:
    """What is in the file."""

    @pytest.fixture
    def tokenizer(self):
        """One with every edit token."""
        return number_tokenizer(edit_tokens=EDIT_TOKENS)

    def test_a_new_card(self, tokenizer, tmp_path):
        """It names the base, the library, each token with its id, and what each does."""
        write_card(tmp_path, tokenizer, base="their/model")
        card = (tmp_path / CARD).read_text(encoding="utf-8")
        head = head_of(card)
        assert head["library_name"] == "transformers"
        assert head["base_model"] == "their/model"
        assert {"halluc", "backtracking"} <= set(head["tags"])
        for token in (BACKTRACK_TOKEN, STEP_TOKEN, RESTART_TOKEN):
            assert f"`{token}` (id {tokenizer.get_vocab()[token]}) deletes" in card

    def test_the_card_of_the_base_is_kept(self, tokenizer, tmp_path):
        """Its words and its front matter stay; ours comes behind, and a second time in place of the first."""
        base, out, last = (tmp_path / name for name in ("base", "out", "last"))
        for folder in (base, out, last):
            folder.mkdir()
        (base / CARD).write_text(THEIRS, encoding="utf-8")
        write_card(out, tokenizer, base=str(base))
        write_card(last, number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), base=str(out))
        for folder, tokens in ((out, 3), (last, 1)):
            card = (folder / CARD).read_text(encoding="utf-8")
            assert "# Their model\n\nTheir words, naïve.\n" in card
            assert head_of(card)["license"] == "mit"
            assert head_of(card)["tags"] == ["math", "halluc", "backtracking"]
            assert head_of(card)["base_model"] == "their/base"
            assert card.count(BEGIN) == 1
            assert card.count("deletes the") - card.count("# deletes the") == tokens
        assert str(tmp_path) not in card

    @pytest.mark.parametrize(
        "theirs",
        [
            b"no front matter, latin-1: na\xefve",
            b"---\nlicense: [broken\n---\nWords\n",
            b"---\n- a list\n---\n",
            b"---\nreleased: 2020-13-45\n---\nWords\n",
            b"---\nmore: !!bool perhaps\n---\nWords\n",
            b"",
        ],
    )
    def test_odd_cards(self, tokenizer, tmp_path, theirs):
        """No front matter, a broken one, other bytes: all of it is still there, and our section."""
        (tmp_path / CARD).write_bytes(theirs)
        write_card(tmp_path, tokenizer, base="")
        card = (tmp_path / CARD).read_bytes()
        assert theirs.strip() in card
        assert card.count(BEGIN.encode()) == 1

    def test_windows_line_ends(self, tokenizer, tmp_path):
        """Front matter is found behind them too."""
        (tmp_path / CARD).write_bytes(THEIRS.replace("\n", "\r\n").encode())
        write_card(tmp_path, tokenizer, base="")
        card = (tmp_path / CARD).read_bytes().decode()
        assert card.startswith("---\nlibrary_name: transformers")
        assert head_of(card)["license"] == "mit"
        assert card.count("license") == 1

    def test_a_model_without_edit_tokens(self, tmp_path):
        """Its card says so."""
        write_card(tmp_path, number_tokenizer(), base="")
        card = (tmp_path / CARD).read_text(encoding="utf-8")
        assert "It has no edit tokens" in card
        assert "base_model" not in head_of(card)

    def test_another_step_delimiter(self, tokenizer, tmp_path):
        """The ids that end a step are those of the delimiter in use."""
        write_card(tmp_path, tokenizer, base="", step_delimiter=",")
        ours, _ = code_of((tmp_path / CARD).read_text(encoding="utf-8"))
        vocab = edit_vocab(tokenizer, step_delimiter=",")
        (comma,) = vocab.step_delimiters & set(tokenizer.encode(","))
        assert ours([5, comma, 6, 7, vocab.step]) == [5, comma]
        with pytest.raises(EditVocabError):
            write_card(tmp_path, tokenizer, base="", step_delimiter="no token")


class TestCommands:
    """Every command that saves a model writes one."""

    @pytest.fixture
    def source(self, tmp_path):
        """A saved model with a card, and traces for it."""
        tokenizer, folder = number_tokenizer(edit_tokens=EDIT_TOKENS), tmp_path / "model"
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        (folder / CARD).write_text(THEIRS, encoding="utf-8")
        rows = [TraceRow(tokenizer.encode("3\n"), tokenizer.encode(f"4{BACKTRACK_TOKEN}3\n"))]
        write_traces(tmp_path / "traces.parquet", rows, tokenizer)
        return folder

    @pytest.mark.parametrize(
        "command",
        [
            ("add-token", "--model", "model"),
            ("train", "--model", "model", "--data", "traces.parquet", "--steps", 1, "--batch-size", 1),
            (
                "train",
                "--model",
                "model",
                "--data",
                "traces.parquet",
                "--steps",
                1,
                "--batch-size",
                1,
                "--low-rank",
                1,
            ),
            ("match", "--model", "model", "--data", "traces.parquet", "--steps", 1, "--batch-size", 1),
            ("warmstart", "--data", "plain.parquet", "--steps", 1),
        ],
    )
    def test_the_code_is_that_of_the_saved_tokenizer(self, source, tmp_path, monkeypatch, command):
        """Also where the base's card is kept."""
        plain = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        write_traces(tmp_path / "plain.parquet", [TraceRow(plain.encode("3\n"), plain.encode("3\n"))], plain)
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, [*map(str, command), "--out", "out"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        card = (tmp_path / "out" / CARD).read_text(encoding="utf-8")
        ours, _ = code_of(card)
        vocab = edit_vocab(load_tokenizer(str(tmp_path / "out")))
        line = min(vocab.step_delimiters, default=9)
        ids = [5, line, 6, *vocab.edit_ids, 7, 8, vocab.backtrack]
        assert ours(ids) == collapse(ids, vocab)
        assert ("Their words" in card) == (command[0] != "warmstart")
        assert head_of(card)["library_name"] == "transformers"
