"""SequenceMatch's trainer: its schedule, its buffer, its loss, and runs that go on where they were."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from transformers import TrainingArguments
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import resolve
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.losses import Divergence, imitation_loss, score_trajectories, sequence_match_loss
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, save_tokenizer
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.match_settings import MatchSettings
from halluc_plugin.training.matching import MatchTrainer, Refresh, RowCollator, match_sequences
from halluc_plugin.training.replay import ReplayBuffer

QUICK = MatchSettings(
    gamma=0.9, imitate_steps=2, anneal_steps=2, refresh_steps=2, fresh=4, capacity=6, max_actions=6
)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


@pytest.fixture
def data(tokenizer, tmp_path):
    """Four small sums, one with an error that is taken back."""
    texts = [("3 5\n", "8"), ("2 2\n", f"5{BACKTRACK_TOKEN}4"), ("1 1\n", "2"), ("7 2\n", "9")]
    rows = [
        TraceRow(tokenizer.encode(prompt), [*tokenizer.encode(answer), tokenizer.eos_token_id])
        for prompt, answer in texts
    ]
    path = tmp_path / "t.parquet"
    write_traces(path, rows, tokenizer)
    return path


def test_beta_by_hand():
    """1 while imitating, then down a line to its last value."""
    settings = MatchSettings(imitate_steps=10, anneal_steps=4, imitation=0.2)
    assert [settings.beta(step) for step in (0, 9, 10, 11, 12, 14, 99)] == pytest.approx(
        [1, 1, 1, 0.8, 0.6, 0.2, 0.2]
    )
    assert MatchSettings(imitate_steps=3, anneal_steps=0, imitation=0.5).beta(3) == 0.5


def test_the_buffer(tmp_path):
    """The oldest leave first; ages are counted in steps; it comes back from a checkpoint as it was."""
    buffer = ReplayBuffer(3)
    with pytest.raises(SettingsError, match="empty"):
        buffer.draw(1, np.random.default_rng(0))
    assert math.isnan(buffer.mean_age(0))
    buffer.add([TraceRow([1], [2]), TraceRow([1], [3])], step=4)
    buffer.add([TraceRow([1], [4]), TraceRow([1], [5])], step=10)
    assert len(buffer) == 3
    assert buffer.mean_age(13) == (9 + 3 + 3) / 3
    drawn = {row.response_ids[0] for row in buffer.draw(50, np.random.default_rng(0))}
    assert drawn == {3, 4, 5}
    buffer.save(tmp_path)
    other = ReplayBuffer(3)
    other.load(tmp_path)
    assert other.draw(9, np.random.default_rng(1)) == buffer.draw(9, np.random.default_rng(1))
    assert other.mean_age(13) == buffer.mean_age(13)
    empty = ReplayBuffer(3)
    empty.load(tmp_path / "killed before it was saved")
    assert len(empty) == 0


@pytest.mark.parametrize("erased", [ErasedTokens.MASK, ErasedTokens.KEEP])
def test_the_loss_is_that_of_its_parts(tokenizer, erased, tmp_path):
    """In one forward what separate ones give; noise of the data counts only when kept, the model's always."""
    vocab, eos = vocab_of(tokenizer), frozenset({tokenizer.eos_token_id})
    b, end = vocab.backtrack, tokenizer.eos_token_id
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    data = [TraceRow([300, 301], [310, b, 311, end]), TraceRow([302], [312, end])]
    own = [TraceRow([302, 303, 304], [320, 321, b, b, 322, 323, end])]
    collate = RowCollator(0)
    settings = TrainSettings(batch_size=2, erased_tokens=erased)
    on_cpu = TrainingArguments(str(tmp_path), use_cpu=True)
    trainer = MatchTrainer(model=model, data_collator=collate, args=on_cpu)
    replay = ReplayBuffer(1)
    replay.add(own, 0)
    matching = MatchSettings(gamma=0.8, imitate_steps=0, anneal_steps=0, imitation=0.25)
    trainer.match(matching, replay, vocab, eos, settings)

    def score(rows, of):
        batch = collate(rows)
        resolution = resolve(batch["response_ids"], batch["response_valid"], vocab)
        return score_trajectories(
            model, batch["prompt_ids"], batch["prompt_valid"], resolution, eos_ids=eos, erased=of
        )

    ours, theirs = score(data, erased), score(own * 2, ErasedTokens.KEEP)
    imitation = imitation_loss(ours)
    expected = 0.25 * imitation + 0.75 * sequence_match_loss(ours, theirs, gamma=0.8).loss
    found = trainer.compute_loss(model, collate(data))
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("divergence", list(Divergence))
def test_trains_logs_and_saves(tokenizer, data, tmp_path, divergence):
    """All divergences run; the mixture draws responses on schedule, and logs the buffer's size and age."""
    model = new_model(tokenizer, Size.TINY, seed=0)
    before = model.model.norm.weight.detach().clone()
    logged = []

    class Keep(Refresh):
        def __init__(self):
            pass

        def on_step_begin(self, *args, **kwargs):
            pass

        def on_save(self, *args, **kwargs):
            pass

        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append(dict(logs))

    settings = TrainSettings(steps=6, batch_size=2, log_steps=1)
    matching = MatchSettings(**{**vars(QUICK), "divergence": divergence})
    match_sequences(
        model, tokenizer, [data], settings, tmp_path / "out",
        matching=matching, show_progress=False, callbacks=[Keep()],
    )  # fmt: skip
    steps = [logs for logs in logged if "beta" in logs]
    assert [logs["beta"] for logs in steps] == pytest.approx([1, 1, 1, 0.6, 0.2, 0.2])
    assert all(math.isfinite(logs["loss"]) for logs in steps)
    mixture = divergence is Divergence.CHI2_MIXTURE
    assert [logs.get("replay_size") for logs in steps[3:]] == ([4, 6, 6] if mixture else [0, 0, 0])
    if mixture:
        assert steps[3]["replay_age"] == 0  # drawn before that very step
        assert all(logs["match_penalty"] > 0 for logs in steps[3:])
    assert not torch.equal(load_model(str(tmp_path / "out")).model.norm.weight, before)


def test_an_interrupted_run_goes_on(tokenizer, data, tmp_path):
    """KilledError after a checkpoint and started again, it ends at the weights of a run that was not."""

    class KilledError(Exception):
        pass

    class Kill(Refresh):
        def __init__(self):
            pass

        def on_step_begin(self, args, state, *others, **kwargs):
            if state.global_step == 6:
                raise KilledError

        def on_save(self, *args, **kwargs):
            pass

    settings = TrainSettings(steps=8, batch_size=2, save_steps=5)
    weights = []
    for name in ("whole", "killed"):
        out = tmp_path / name
        for callbacks in ([Kill()], []) if name == "killed" else ([],):
            model = new_model(tokenizer, Size.TINY, seed=0)
            try:
                match_sequences(
                    model, tokenizer, [data], settings, out,
                    matching=QUICK, show_progress=False, callbacks=callbacks,
                )  # fmt: skip
            except KilledError:
                assert (out / "checkpoints" / "checkpoint-5" / "replay.json").exists()
        weights.append(load_model(str(out)).get_input_embeddings().weight)
    assert torch.equal(*weights)


def test_the_command(tokenizer, data, tmp_path):
    """`halluc match` trains a model in a folder, and refuses a divergence that there is not."""
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    args = ["match", "--model", tmp_path / "model", "--data", data, "--out", tmp_path / "out"]
    args += ["--steps", 2, "--batch-size", 2, "--imitate-steps", 0, "--anneal-steps", 0, "--fresh", 2]
    run = partial(CliRunner().invoke, app, catch_exceptions=False)
    assert run(list(map(str, [*args, "--max-actions", 4]))).exit_code == 0
    assert load_model(str(tmp_path / "out")) is not None
    assert "--divergence" in run(list(map(str, [*args, "--divergence", "js"]))).output


@pytest.mark.parametrize("bad", [{"gamma": 1.0}, {"imitation": 1.5}, {"fresh": 0}, {"imitate_steps": -1}])
def test_bad_settings_are_refused(bad):
    """With what would do."""
    with pytest.raises(SettingsError, match="Give"):
        MatchSettings(**bad)


def test_corrections_in_words_are_refused(tokenizer, tmp_path):
    """Words go back to no state."""
    write_traces(tmp_path / "t.parquet", [TraceRow([1], [2, 3], [True, False])], tokenizer)
    model = new_model(tokenizer, Size.TINY, seed=0)
    with pytest.raises(DataError, match="in words"):
        match_sequences(model, tokenizer, [tmp_path / "t.parquet"], TrainSettings(), tmp_path, matching=QUICK)


def test_split_batches_are_refused(tokenizer, data, tmp_path):
    """The loss is a ratio: parts of a batch do not add up to it."""
    settings = TrainSettings(batch_size=4, micro_batch_size=2)
    model = new_model(tokenizer, Size.TINY, seed=0)
    with pytest.raises(SettingsError, match="micro_batch_size"):
        match_sequences(model, tokenizer, [data], settings, tmp_path, matching=QUICK)
