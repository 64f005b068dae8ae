"""The cache: an entry is whole or absent, is made once, and is mended when it is damaged."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halluc_plugin import prepare
from halluc_plugin.cache import MANIFEST, halluc_home, load_or_build
from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import read_rows_in_groups
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import Context, resolve_row
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import HallucError, SettingsError
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.settings import PrepareSettings, WarmStartTraces
from halluc_plugin.tokens import BACKTRACK_TOKEN, RESTART_TOKEN, STEP_TOKEN, edit_vocab, vocab_of
from halluc_plugin.tokens.loading import load_model, load_tokenizer
from halluc_plugin.training.settings import TrainSettings

SMALL = PrepareSettings(train_problems=12, test_problems=4, warm_start_steps=2)
WORD = replace(
    SMALL,
    task="word",
    options={"length": 4, "memory": "none", "notice": "at-once", "tries": 2},
    context=Context.HARD,
    erased_tokens=ErasedTokens.WEIGHT,
    shares=LossShares(decisions=0.3, erased=0.25),
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setenv("HALLUC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def builder(calls, text="content"):
    """Writes one file, and remembers that it did."""

    def build(folder):
        calls.append(folder)
        (folder / "file").write_text(text)

    return build


def test_the_default_home(monkeypatch):
    """Without HALLUC_HOME it is a folder of the user's cache."""
    monkeypatch.delenv("HALLUC_HOME")
    assert halluc_home().parts[-2:] == (".cache", "halluc")


def test_an_entry_is_made_once(home):
    """The same settings give the same folder, other settings another one."""
    calls = []
    first, again = (load_or_build("x", {"seed": 1}, builder(calls)) for _ in range(2))
    assert first == again
    assert len(calls) == 1
    assert (first / "file").read_text() == "content"
    assert load_or_build("x", {"seed": 2}, builder(calls)) != first
    assert json.loads((first / MANIFEST).read_text())["settings"] == {"seed": 1}
    assert {path.parent for path in (first, calls[0])} == {home}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "file").write_text("other"), "file has changed"),
        (lambda folder: (folder / "file").unlink(), "file is missing"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "its manifest cannot be read"),
    ],
)
def test_a_damaged_entry_is_rebuilt_with_a_note(capsys, damage, said):
    """What does not match its checksums is made again, and the user is told."""
    calls = []
    folder = load_or_build("x", {}, builder(calls))
    damage(folder)
    assert load_or_build("x", {}, builder(calls)) == folder
    assert (folder / "file").read_text() == "content"
    assert len(calls) == 2
    assert said in capsys.readouterr().err


def test_a_failed_build_leaves_nothing(home):
    """An entry that could not be finished is not there the next time."""

    def build(folder):
        (folder / "half").write_text("")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        load_or_build("x", {}, build)
    assert [path.suffix for path in home.iterdir()] == [".lock"]


def test_the_embedded_data_are_made_for_each_kind_of_traces():
    """Both kinds have the same problems; only one has edits."""
    both = {kind: prepare.embedded_data(replace(SMALL, traces=kind)) for kind in WarmStartTraces}
    backtrack, clean = both[WarmStartTraces.BACKTRACK], both[WarmStartTraces.CLEAN]
    assert backtrack.train.read_bytes() == clean.train.read_bytes()
    assert [a.read_bytes() for a in backtrack.test] == [b.read_bytes() for b in clean.test]
    tokenizer = prepare.tokenizer_for(WarmStartTraces.BACKTRACK)
    vocab = edit_vocab(tokenizer)
    rows = read_traces(backtrack.traces, tokenizer)
    assert any(resolve_row(row.response_ids, vocab).is_edit.any() for row in rows)
    plain = prepare.tokenizer_for(WarmStartTraces.CLEAN)
    assert BACKTRACK_TOKEN not in plain.get_vocab()
    assert len(read_traces(clean.traces, plain)) < len(rows)


def test_the_warm_started_model_is_a_model_in_the_cache(home):
    """It is trained once, and comes with its tokenizer."""
    folder = prepare.warm_started_model(SMALL)
    trained = (folder / "model.safetensors").stat().st_mtime_ns
    assert prepare.warm_started_model(SMALL) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == trained
    vocab = edit_vocab(load_tokenizer(str(folder)))
    assert load_model(str(folder)).config.vocab_size == vocab.backtrack + 1
    assert folder.parent == home


def test_a_warm_start_of_other_batches_is_another_one():
    """The traces of a step are a setting, and part of what a warm start is known by."""
    usual, smaller = (prepare._training(replace(SMALL, warm_start_batch_size=size)) for size in (64, 32))
    assert (usual, smaller.batch_size) == (prepare._training(SMALL), 32)
    with pytest.raises(SettingsError, match=r"halluc.prepare.warm_start_batch_size is 0\."):
        replace(SMALL, warm_start_batch_size=0)


def test_turns_are_made_of_the_traces_with_edits():
    """As many rows as there are traces: a first attempt, the request, the solution; errors are told apart."""
    settings = replace(SMALL, traces=WarmStartTraces.TURNS)
    assert prepare.embedded_data(settings).root == prepare.embedded_data(SMALL).root
    tokenizer = prepare.tokenizer_for(WarmStartTraces.TURNS)
    assert BACKTRACK_TOKEN not in tokenizer.get_vocab()
    rows = read_traces(prepare.turn_traces(settings), tokenizer)
    with_edits = prepare.tokenizer_for(WarmStartTraces.BACKTRACK)
    assert len(rows) == len(read_traces(prepare.embedded_data(SMALL).traces, with_edits))
    texts = [tokenizer.decode(row.response_ids) for row in rows]
    assert all(text.count(f"{tokenizer.eos_token}{prepare.TURN}") == 1 for text in texts)
    wrong = [sum(row.erased) > len(tokenizer.encode(prepare.TURN)) for row in rows]
    assert any(wrong)
    assert not all(wrong)
    model = load_model(str(prepare.warm_started_model(settings)))
    assert load_tokenizer(str(model.config.name_or_path)).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize(("edit", "token"), [("step", STEP_TOKEN), ("restart", RESTART_TOKEN)])
def test_a_warm_start_reads_traces_with_other_edits(tmp_path, edit, token):
    """The tokenizer is the one that the file was written with, its step backtrack or restart included."""
    asked = ["word", "--length", "3", "--train", "8", "--test", "2", "--edit", edit, "--out", str(tmp_path)]
    back = ["--back", "restart"] if edit == "restart" else []
    assert CliRunner().invoke(app, ["data", *asked, *back]).exit_code == 0
    settings = TrainSettings(steps=1, batch_size=2, shares=LossShares(decisions=0.3))
    files = [tmp_path / "word" / "traces.parquet"]
    prepare.warm_start(files, WarmStartTraces.BACKTRACK, settings, tmp_path / "start")
    assert token in load_tokenizer(str(tmp_path / "start")).get_vocab()


def test_what_was_cached_before_there_was_another_task_is_found(monkeypatch):
    """Countdown's entries have the names that they had, and are not made anew."""
    monkeypatch.setattr(
        prepare, "load_or_build", lambda name, settings, _: Path(f"{name}-{key(name, settings)}")
    )
    settings = PrepareSettings()
    assert prepare.embedded_data(settings).root == Path("countdown-0e231c7efcd7")
    assert prepare.warm_started_model(settings).name == "warm-start-backtrack-c904e920ebd2"
    assert prepare.scratch_model(settings).name == "scratch-backtrack-522d8cdf0d4f"


def key(name, settings):
    """The part of an entry's name that says what is in it."""
    described = {"format": 1, "name": name, "settings": settings}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]


class TestAnotherTask:
    """Word problems in the place of Countdown."""

    def test_its_data_have_the_options_that_are_asked_for(self):
        """Words of that length, in all splits; without backtracking they are the same problems."""
        train, held_out = prepare.embedded_splits(WORD)
        assert [path.name for path in (train, *held_out)] == [
            "train.parquet",
            "test.parquet",
            "test_new.parquet",
        ]
        for path, count in ((train, 12), *((path, 4) for path in held_out)):
            rows = list(read_rows_in_groups(path))
            assert [len(row["reward_model"]["ground_truth"]["word"]) for row in rows] == [4] * count
        clean, _ = prepare.embedded_splits(replace(WORD, traces=WarmStartTraces.CLEAN))
        assert clean != train
        assert clean.read_bytes() == train.read_bytes()

    def test_its_model_takes_back_steps(self):
        """It is trained in hard context with shares of the loss; the baseline's has no token and no share."""
        folder = prepare.warm_started_model(WORD)
        assert prepare.warm_started_model(WORD) == folder
        tokenizer = load_tokenizer(str(folder))
        assert STEP_TOKEN in tokenizer.get_vocab()
        vocab = vocab_of(tokenizer, step_delimiter="\n")
        assert any(
            vocab.step in row.response_ids
            for row in read_traces(prepare.embedded_data(WORD).traces, tokenizer)
        )
        assert STEP_TOKEN in load_tokenizer(str(prepare.scratch_model(WORD))).get_vocab()
        baseline = prepare.warm_started_model(replace(WORD, traces=WarmStartTraces.CLEAN))
        assert not {STEP_TOKEN, BACKTRACK_TOKEN} & set(load_tokenizer(str(baseline)).get_vocab())

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"options": {"lenght": 4}}, "lenght.*length"),
            ({"options": {"length": "four"}}, "options.length is 'four'"),
            ({"options": {"memory": "all"}}, "options.memory is 'all'"),
            ({"options": {"length": 3, "blanks": 4}}, "4 blanks in words of 3 letters"),
            ({"options": {"seed": 1}}, "halluc.prepare.options.seed"),
            ({"task": "words", "options": {}}, "no task 'words'"),
            ({"task": "gsm8k", "options": {}}, "gsm8k.*draws no problems"),
            ({"traces": WarmStartTraces.TURNS}, "turns, and halluc.prepare.task is word"),
            ({"shares": LossShares()}, "erased_tokens=weight"),
        ],
    )
    def test_bad_settings_are_one_clear_line(self, changes, said):
        """An option that the task does not have, or of the wrong kind; a task that cannot be embedded."""
        with pytest.raises(HallucError, match=said):
            prepare.warm_started_model(replace(WORD, **changes))
