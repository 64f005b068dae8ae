"""Scheduled sampling: its schedules by hand, what the second pass reads, its loss, and runs that go on."""

import math

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.dataset import TraceCollator
from halluc_plugin.training.scheduled_sampling import (
    Decay,
    Schedule,
    ScheduledTrainer,
    mixture,
    sample_on_schedule,
)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


@pytest.fixture(scope="module")
def rows(tokenizer):
    """Two sums with answers of two digits."""
    texts = [("3 5 + 5 1\n", "8 6"), ("2 2 + 1 1\n", "3 3")]
    return [
        TraceRow(tokenizer.encode(prompt), [*tokenizer.encode(answer), tokenizer.eos_token_id])
        for prompt, answer in texts
    ]


@pytest.fixture
def data(tokenizer, rows, tmp_path):
    """The sums as a file."""
    write_traces(tmp_path / "t.parquet", rows, tokenizer)
    return tmp_path / "t.parquet"


def test_schedules_by_hand():
    """The line of section 2.4, the same line told by its ends, and the inverse sigmoid with its middle."""
    line = Schedule(Decay.LINEAR, k=1.2, slope=0.1, least=0.3)
    assert [line.truth(step) for step in (0, 2, 4, 9, 50)] == pytest.approx([1, 1, 0.8, 0.3, 0.3])
    told = Schedule.line(hold=10, fall=4, least=0.2)
    assert [told.truth(step) for step in (0, 10, 11, 12, 14, 99)] == pytest.approx([1, 1, 0.8, 0.6, 0.2, 0.2])
    sigmoid = Schedule(Decay.INVERSE_SIGMOID, k=100)
    assert sigmoid.truth(0) == pytest.approx(100 / 101)
    assert sigmoid.truth(300) == pytest.approx(100 / (100 + math.exp(3)))
    assert sigmoid.truth(10**7) == 0
    for half in (1, 30, 750):
        assert Schedule.sigmoid(half).truth(half) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "bad",
    [
        (Decay.LINEAR, 1.0, None, 0.0),
        (Decay.LINEAR, 1.0, 0.1, 1.0),
        (Decay.LINEAR, 0.0, 0.1, 0.0),
        (Decay.INVERSE_SIGMOID, 0.5, None, 0.0),
        (Decay.INVERSE_SIGMOID, 5.0, 0.1, 0.0),
    ],
    ids=str,
)
def test_bad_schedules_are_refused(bad):
    """With what would do."""
    with pytest.raises(SettingsError, match="Give"):
        Schedule(*bad)


def test_what_is_read_is_drawn_from_the_first_pass():
    """Only tokens that are learned, by the logits before them, never a banned one, and as often as asked."""
    count = 4000
    ids = torch.tensor([[5, 6, 7, 7]]).repeat(count, 1)
    labels = torch.tensor([[-100, -100, 7, 7]]).repeat(count, 1)
    logits = torch.full((4, 8), -30.0)
    logits[1, 2], logits[1, 3], logits[1, 4] = math.log(3), 0.0, 20.0  # 4 is banned: 2 and 3 as 3 to 1
    logits[2, 1] = 0.0
    mixed = mixture(
        ids, labels, logits.repeat(count, 1, 1), 0.25,
        banned=[4], generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert (mixed[:, :2] == torch.tensor([5, 6])).all()
    shares = [float((mixed[:, 2] == token).float().mean()) for token in (7, 2, 3, 4)]
    assert shares == pytest.approx([0.25, 0.75 * 0.75, 0.75 * 0.25, 0], abs=0.03)
    assert float((mixed[:, 3] == 1).float().mean()) == pytest.approx(0.75, abs=0.03)
    apart = (mixed[:, 2] == 7) & (mixed[:, 3] == 7)  # each place by itself
    assert float(apart.float().mean()) == pytest.approx(0.25**2, abs=0.02)


def test_the_loss_is_of_true_tokens_behind_the_mixture(tokenizer, rows, tmp_path):
    """Where the truth is never read, the labels stay true and the text before them is the model's."""
    vocab = vocab_of(tokenizer)
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    trainer = ScheduledTrainer(model=model, args=TrainingArguments(str(tmp_path), use_cpu=True))
    end = tokenizer.eos_token_id
    only = 321
    banned = [token for token in range(model.config.vocab_size) if token != only]
    trainer.follow(Schedule(Decay.LINEAR, k=1e-9, slope=1.0), banned, seed=0)
    found = trainer.compute_loss(model, TraceCollator(vocab, 0, ErasedTokens.MASK)(rows))
    losses = []
    for row in rows:
        read = row.prompt_ids + [only] * (len(row.response_ids) - 1)
        log_probs = torch.log_softmax(model(torch.tensor([read])).logits[0], -1)
        first = len(row.prompt_ids) - 1
        losses += [-log_probs[first + t, token] for t, token in enumerate(row.response_ids)]
    assert end in rows[0].response_ids
    assert found.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)


def test_all_truth_is_fine_tuning(tokenizer, data, tmp_path):
    """With a line that has not begun to fall the weights are those of likelihood, up to rounding."""
    settings = TrainSettings(steps=3, batch_size=2)
    weights = []
    for name in ("scheduled", "plain"):
        model = new_model(tokenizer, Size.TINY, seed=0)
        of = (model, tokenizer, [data], settings, tmp_path / name)
        if name == "plain":
            fine_tune(*of, show_progress=False)
        else:
            sample_on_schedule(*of, schedule=Schedule.line(5, 5, 0.2), show_progress=False)
        weights.append(load_model(str(tmp_path / name)).get_input_embeddings().weight)
    torch.testing.assert_close(*weights, rtol=0, atol=1e-5)


def test_an_interrupted_run_goes_on(tokenizer, data, tmp_path):
    """Killed after a checkpoint and started again, it ends at the weights of a run that was not."""

    class KilledError(Exception):
        pass

    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, *others, **kwargs):
            if state.global_step == 4:
                raise KilledError

    settings = TrainSettings(steps=6, batch_size=2, micro_batch_size=1, save_steps=3)
    weights = []
    for name in ("whole", "killed"):
        for callbacks in ([Kill()], []) if name == "killed" else ([],):
            model = new_model(tokenizer, Size.TINY, seed=0)
            try:
                sample_on_schedule(
                    model, tokenizer, [data], settings, tmp_path / name,
                    schedule=Schedule.sigmoid(2), show_progress=False, callbacks=callbacks,
                )  # fmt: skip
            except KilledError:
                assert (tmp_path / name / "checkpoints" / "checkpoint-3").exists()
        weights.append(load_model(str(tmp_path / name)).get_input_embeddings().weight)
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("response", "erased", "said"),
    [([2, "b", 3], None, "has edits"), ([2, 3], [True, False], "in words")],
)
def test_text_with_errors_is_refused(tokenizer, tmp_path, response, erased, said):
    """The true text has none, by edits or in words."""
    ids = [vocab_of(tokenizer).backtrack if token == "b" else token for token in response]
    write_traces(tmp_path / "t.parquet", [TraceRow([1], ids, erased)], tokenizer)
    model = new_model(tokenizer, Size.TINY, seed=0)
    with pytest.raises(DataError, match=said):
        sample_on_schedule(
            model, tokenizer, [tmp_path / "t.parquet"], TrainSettings(), tmp_path / "out",
            schedule=Schedule.sigmoid(2),
        )  # fmt: skip


def test_shares_of_the_loss_are_refused(tokenizer, data, tmp_path):
    """All tokens weigh the same."""
    settings = TrainSettings(shares=LossShares(decisions=0.5))
    model = new_model(tokenizer, Size.TINY, seed=0)
    with pytest.raises(SettingsError, match="weighs all tokens the same"):
        sample_on_schedule(model, tokenizer, [data], settings, tmp_path / "out", schedule=Schedule.sigmoid(2))
