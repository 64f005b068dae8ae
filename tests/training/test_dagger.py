"""DAgger: its iterations, its labels, its loss, roll-ins by the mixture, and runs that go on."""

import math

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.decoding import Context, Decoding
from halluc_plugin.edits import EditState
from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.dagger import (
    DaggerSettings,
    DaggerTrainer,
    ExpertCollator,
    RollIn,
    imitate_expert,
)
from halluc_plugin.training.experts import Expert, Recovery
from halluc_plugin.training.replay import ReplayBuffer

QUICK = DaggerSettings(imitate_steps=2, refresh_steps=2, fresh=4, max_actions=6)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


@pytest.fixture(scope="module")
def rows(tokenizer):
    """Four small sums."""
    texts = [("3 5\n", "8"), ("2 2\n", "4"), ("1 1\n", "2"), ("7 2\n", "9")]
    return [
        TraceRow(tokenizer.encode(prompt), [*tokenizer.encode(answer), tokenizer.eos_token_id])
        for prompt, answer in texts
    ]


@pytest.fixture
def data(tokenizer, rows, tmp_path):
    """The sums as a file."""
    write_traces(tmp_path / "t.parquet", rows, tokenizer)
    return tmp_path / "t.parquet"


def test_iterations_and_beta_by_hand():
    """The first is the data's; β halves from one to the next, and p = 0 leaves all to the model at once."""
    settings = DaggerSettings(imitate_steps=10, refresh_steps=4)
    assert [settings.iteration(step) for step in (0, 9, 10, 13, 14, 18)] == [1, 1, 2, 2, 3, 4]
    assert [settings.beta(i) for i in (1, 2, 3)] == [1, 0.5, 0.25]
    assert [DaggerSettings(expert_share=0).beta(i) for i in (1, 2, 3)] == [1, 0, 0]


def test_the_loss_is_the_mean_over_states(tokenizer, rows, tmp_path):
    """Of data and roll-in together, each state by a forward of its own from its live text."""
    vocab, end = vocab_of(tokenizer), tokenizer.eos_token_id
    expert = Expert.of(rows, vocab, frozenset({end}), Recovery.BACKTRACK)
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    own = TraceRow(rows[1].prompt_ids, [310, vocab.backtrack, 311])
    collate = ExpertCollator(0, expert)
    on_cpu = TrainingArguments(str(tmp_path), use_cpu=True)
    trainer = DaggerTrainer(model=model, data_collator=collate, args=on_cpu)
    rolled_in = ReplayBuffer(1)
    rolled_in.add([own], 0)
    trainer.imitate(QUICK, rolled_in, vocab, TrainSettings(batch_size=2))
    trainer.state.global_step = 2

    losses = []
    for row in (rows[0], rows[2], own, own):
        state = EditState(vocab)
        for token in row.response_ids:
            logits = model(torch.tensor([row.prompt_ids + state.live_ids])).logits[0, -1]
            losses.append(-torch.log_softmax(logits, -1)[expert.action(row.prompt_ids, state.live_ids)])
            state.push(token)
    found = trainer.compute_loss(model, collate([rows[0], rows[2]]))
    assert found.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)
    trainer.state.global_step = 1  # the first iteration: the data alone
    first = trainer.compute_loss(model, collate([rows[0], rows[2]]))
    assert first.item() == pytest.approx(torch.stack(losses[:4]).mean().item(), rel=1e-4)


@pytest.mark.parametrize("recovery", list(Recovery))
def test_the_mixture_rolls_in(tokenizer, rows, tmp_path, monkeypatch, recovery):
    """With p near 1 the expert writes nearly all, and the right answers come out; with 0 the model's do."""
    vocab, eos = vocab_of(tokenizer), frozenset({tokenizer.eos_token_id})
    expert = Expert.of(rows, vocab, eos, recovery)
    right = {(tuple(row.prompt_ids), tuple(row.response_ids)) for row in rows}
    model = new_model(tokenizer, Size.TINY, seed=0)
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    shares = {}
    for share in (0.0, 0.999):
        dagger = DaggerSettings(
            recovery, expert_share=share, imitate_steps=1, refresh_steps=1, fresh=20, max_actions=6
        )
        trainer = DaggerTrainer(model=model, args=args)
        trainer.imitate(dagger, ReplayBuffer(20), vocab, TrainSettings())
        budget = None if recovery is Recovery.BACKTRACK else 0
        decoding = Decoding(vocab, 6, Context.HARD, budget=budget, eos_ids=eos)
        trainer.state.global_step = 1
        RollIn(trainer, rows, expert, decoding).on_step_begin(args, trainer.state, trainer.control, model)
        drawn = [row for _, row in trainer.rolled_in._rows]
        assert len(drawn) == 20
        if recovery is Recovery.PLACE:
            assert all(vocab.backtrack not in row.response_ids for row in drawn)
        shares[share] = sum((tuple(r.prompt_ids), tuple(r.response_ids)) in right for r in drawn) / 20
    assert model.training
    assert shares[0.0] <= 0.1
    assert shares[0.999] >= 0.9


def test_trains_logs_and_saves(tokenizer, data, tmp_path):
    """Iterations, β and the growing number of roll-ins are logged; nothing that was rolled in is dropped."""
    model = new_model(tokenizer, Size.TINY, seed=0)
    before = model.model.norm.weight.detach().clone()
    logged = []

    class Keep(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            logged.append(dict(logs))

    settings = TrainSettings(steps=7, batch_size=2, log_steps=1)
    imitate_expert(
        model, tokenizer, [data], settings, tmp_path / "out",
        dagger=QUICK, show_progress=False, callbacks=[Keep()],
    )  # fmt: skip
    steps = [logs for logs in logged if "iteration" in logs]
    assert [logs["iteration"] for logs in steps] == [1, 1, 2, 2, 3, 3, 4]
    assert [logs["expert_share"] for logs in steps] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert [logs["rolled_in"] for logs in steps] == [0, 0, 4, 4, 8, 8, 12]
    assert all(math.isfinite(logs["loss"]) for logs in steps)
    assert not torch.equal(load_model(str(tmp_path / "out")).model.norm.weight, before)


def test_an_interrupted_run_goes_on(tokenizer, data, tmp_path):
    """Killed after a checkpoint and started again, it ends at the weights of a run that was not."""

    class KilledError(Exception):
        pass

    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, *others, **kwargs):
            if state.global_step == 6:
                raise KilledError

    settings = TrainSettings(steps=8, batch_size=2, save_steps=5)
    weights = []
    for name in ("whole", "killed"):
        out = tmp_path / name
        for callbacks in ([Kill()], []) if name == "killed" else ([],):
            model = new_model(tokenizer, Size.TINY, seed=0)
            try:
                imitate_expert(
                    model, tokenizer, [data], settings, out,
                    dagger=QUICK, show_progress=False, callbacks=callbacks,
                )  # fmt: skip
            except KilledError:
                assert (out / "checkpoints" / "checkpoint-5" / "replay.json").exists()
        weights.append(load_model(str(out)).get_input_embeddings().weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "bad", [{"expert_share": 1.0}, {"expert_share": -0.1}, {"imitate_steps": 0}, {"fresh": 0}], ids=str
)
def test_bad_settings_are_refused(bad):
    """With what would do."""
    with pytest.raises(SettingsError, match="Give"):
        DaggerSettings(**bad)


def test_bad_data_are_refused(tokenizer, data, tmp_path):
    """Split batches, words that take back, and an expert who is to backtrack without a token."""
    model, plain = new_model(tokenizer, Size.TINY, seed=0), number_tokenizer(edit_tokens=())
    settings = TrainSettings(batch_size=4, micro_batch_size=2)
    with pytest.raises(SettingsError, match="micro_batch_size"):
        imitate_expert(model, tokenizer, [data], settings, tmp_path / "a", dagger=QUICK)
    with pytest.raises(TokenizerError, match="no token"):
        imitate_expert(model, plain, [data], TrainSettings(), tmp_path / "b", dagger=QUICK)
    write_traces(tmp_path / "w.parquet", [TraceRow([1], [2, 3], [True, False])], tokenizer)
    with pytest.raises(DataError, match="in words"):
        imitate_expert(
            model, tokenizer, [tmp_path / "w.parquet"], TrainSettings(), tmp_path / "c", dagger=QUICK
        )
