"""`halluc data resets`: ten rows become traces and pairs to train on, and bad input is refused before."""

import json
import shlex

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import GenerationConfig
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.pair_files import read_pairs
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import collapse
from halluc_plugin.errors import HallucError, TokenizerError
from halluc_plugin.jobs.resets import reset_vocab
from halluc_plugin.scratch.model import Shape, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer, number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import save_tokenizer

TINY = Shape(hidden=16, intermediate=32, layers=1, heads=2)
ROWS = [
    ("What is in the blue box?", "The present is a red kite.", "That is a surprise until Sunday."),
    ("Where are the biscuits?", "Behind the flour, top shelf.", "Ask again after supper."),
    ("How does the book end?", "The gardener wrote all the letters.", "I will not spoil it; read on."),
    ("Who wins the chess match?", "White, by a fork on move 30.", "Watch it, it is worth it."),
    ("What did Ada whisper?", "That she is moving to Graz.", "She told me in confidence."),
    ("What is the riddle's answer?", "A shadow.", "Think of what follows you."),
    ("What are 2 and 3?", None, "2 and 3 are 5."),
    ("Name a colour.", None, "Green."),
    ("Spell cat.", "", "c, a, t."),
    ([{"role": "user", "content": "Say hello."}], None, "Hello!"),
]
"""Six secrets that are to be kept, and four prompts without any."""


def rows(*changes):
    """The ten rows as dicts, some of them changed."""
    found = [dict(zip(("prompt", "harmful", "safe"), row, strict=True)) for row in ROWS]
    for number, change in changes:
        found[number] |= change
    return found


def written(folder, *changes):
    """A JSON file of the rows: their prompts are texts and messages."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(*changes)))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that knows nothing, with a restart token."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = editing_tokenizer("restart")
    new_model(tokenizer, TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def run(data, model, out, *more):
    """The command's result."""
    words = ["data", "resets", "--data", data, "--model", model, "--out", out, *more]
    return CliRunner().invoke(app, list(map(str, words)))


def test_ten_rows_become_traces_and_pairs(model, tmp_path):
    """Each safe answer, six resets; six pairs for them, and ten against needless ones."""
    done = run(written(tmp_path), model, tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    assert {k: json.loads(done.stdout)[k] for k in ("clean", "resets", "count")} == {
        "clean": 10, "resets": 6, "count": 16,
    }  # fmt: skip
    tokenizer = editing_tokenizer("restart")
    vocab = vocab_of(tokenizer)
    safe = {row["safe"] for row in rows()}
    traces = read_traces(tmp_path / "out" / "traces.parquet", tokenizer)
    assert {tokenizer.decode(collapse(row.response_ids, vocab)[:-1]) for row in traces} == safe
    assert tokenizer.decode(traces[-1].prompt_ids) == "Say hello."
    pairs = read_pairs(tmp_path / "out" / "pairs.parquet", tokenizer)
    assert all(tokenizer.decode(collapse(pair.chosen_ids, vocab)[:-1]) in safe for pair in pairs)
    wanted = [pair for pair in pairs if vocab.restart in pair.chosen_ids]
    assert (len(wanted), len(pairs)) == (6, 16)
    assert {tokenizer.decode(pair.rejected_ids[:-1]) for pair in wanted} == {row[1] for row in ROWS if row[1]}
    needless = [pair for pair in pairs if vocab.restart in pair.rejected_ids]
    ends = {tokenizer.decode(collapse(pair.rejected_ids, vocab)[:-1]) for pair in needless}
    assert ends == {row[1] or row[2] for row in ROWS}


def test_parquet_gives_the_same(model, tmp_path):
    """Prompts that are all texts may be in a parquet file."""
    texts = [row for row in rows() if isinstance(row["prompt"], str)]
    pq.write_table(pa.Table.from_pylist(texts), tmp_path / "rows.parquet")
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in texts))
    for name in ("rows.parquet", "rows.jsonl"):
        assert run(tmp_path / name, model, tmp_path / name[5:], "--quiet").exit_code == 0
    one, two = (tmp_path / name / "pairs.parquet" for name in ("parquet", "jsonl"))
    assert one.read_bytes() == two.read_bytes()


def test_the_printed_commands_train(model, tmp_path):
    """First on the traces, then on the pairs, as they are printed and with few steps."""
    done = run(written(tmp_path), model, tmp_path / "out")
    commands = [line.split(": ", 1)[1] for line in done.stderr.splitlines() if ": halluc train" in line]
    assert len(commands) == 2
    for command in commands:
        words = [*shlex.split(command)[1:], "--steps", "1", "--batch-size", "2", "--quiet"]
        trained = CliRunner().invoke(app, words)
        assert trained.exit_code == 0, trained.output
    assert (tmp_path / "out" / "preferred" / "preferences.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"safe": None}, "row 0 has a harmful answer and no safe one"),
        ({"safe": "", "harmful": None}, "row 0 has no safe answer"),
        ({"prompt": ""}, "row 0 has no prompt"),
        ({"safe": 7}, "row 0: safe is 7, no text"),
        ({"harmful": "That is"}, "row 0: the safe answer begins with the whole harmful one"),
        ({"harmful": "It <|RESTART|> is"}, "row 0: an answer holds the token <|RESTART|>"),
    ],
)
def test_bad_rows_are_refused_in_one_line(model, tmp_path, change, said):
    """With the row, before anything is written."""
    done = run(written(tmp_path, (0, change)), model, tmp_path / "out")
    assert done.exit_code != 0
    assert isinstance(done.exception, HallucError)
    assert said in done.exception.cause
    assert "\n" not in str(done.exception.cause)
    assert not (tmp_path / "out").exists()


def refusal(tokenizer, network, folder, **config):
    """What is said of a model that is saved so."""
    network.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    if config:
        GenerationConfig(**config).save_pretrained(folder)
    done = run(written(folder), folder, folder / "out")
    assert done.exit_code != 0
    assert not (folder / "out").exists()
    assert isinstance(done.exception, TokenizerError)
    return done.exception.cause


def test_a_token_that_cannot_be_sampled_is_refused(tmp_path):
    """The tokenizer lacks it, the model has no row for it, or the generation config forbids it."""
    whole, without = editing_tokenizer("restart"), number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    network, small = new_model(whole, TINY, seed=0), new_model(without, TINY, seed=0)
    restart = vocab_of(whole).restart
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
    assert "has no token <|RESTART|>" in refusal(without, small, folders[0])
    assert "the model has" in refusal(whole, small, folders[1])
    assert "in suppress_tokens: it is never sampled" in refusal(
        whole, network, folders[2], suppress_tokens=[restart]
    )
    assert "in bad_words_ids: it is never sampled" in refusal(
        whole, network, folders[3], bad_words_ids=[[restart]]
    )


def test_a_model_that_can_reset_is_taken(model):
    """Its vocabulary has the token."""
    tokenizer = editing_tokenizer("restart")
    assert reset_vocab(str(model), tokenizer).restart == vocab_of(tokenizer).restart
