"""Fine-tuning on raw traces: what is imitated, what is not, and what is saved."""

from pathlib import Path

import pytest
import torch
from transformers import TrainerState
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.trace_files import FINGERPRINT, TraceRow, fingerprint, read_traces
from halluc_plugin.edits import Context, resolve_row, response_mask
from halluc_plugin.edits.builders import IGNORE_INDEX, ErasedTokens
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.hard import score_actions
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, load_tokenizer, save_tokenizer
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.dataset import TraceCollator, TreeCollator

NO = IGNORE_INDEX


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


@pytest.fixture
def trace_file(tokenizer, tmp_path):
    """Writes prompts and responses, as text, into a trace file."""

    def write(*pairs):
        rows = [
            {"prompt_ids": tokenizer.encode(prompt), "response_ids": tokenizer.encode(response)}
            for prompt, response in pairs
        ]
        path = tmp_path / "traces.parquet"
        write_parquet(path, rows, {FINGERPRINT: fingerprint(tokenizer)})
        return path

    return write


@pytest.mark.parametrize(
    ("erased", "labels"),
    [
        (ErasedTokens.MASK, [[NO, NO, NO, 9, 3, 4, NO], [NO, 5, NO, NO, NO, NO, NO]]),
        (ErasedTokens.KEEP, [[NO, NO, 2, 9, 3, 4, NO], [NO, 5, NO, NO, NO, NO, NO]]),
    ],
)
def test_labels_by_hand(tokenizer, erased, labels):
    """Prompt and padding are never imitated, erased tokens only when kept; edits and corrections always."""
    b = vocab_of(tokenizer).backtrack
    rows = [TraceRow([1, b], [2, b, 3, 4]), TraceRow([1], [5])]
    batch = TraceCollator(vocab_of(tokenizer), 0, erased)(rows)
    assert batch["input_ids"].tolist() == [[1, b, 2, b, 3, 4], [1, 5, 0, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    want = [[b if label == 9 else label for label in row[:6]] for row in labels]
    assert batch["labels"].tolist() == want


@pytest.mark.parametrize("collator", ["soft", "hard"])
@pytest.mark.parametrize(
    ("erased", "seen"), [(ErasedTokens.MASK, [NO, 3, 4]), (ErasedTokens.KEEP, [2, 3, 4])]
)
def test_what_words_take_back_is_masked(tokenizer, collator, erased, seen):
    """A column tells it where no edit does; masked and kept as erased tokens are."""
    rows = [TraceRow([1], [2, 3, 4], [True, False, False]), TraceRow([1], [5])]
    build = TraceCollator if collator == "soft" else TreeCollator
    labels = build(vocab_of(tokenizer), 0, erased)(rows)["labels"]
    assert labels[0, -3:].tolist() == seen
    assert labels[1].tolist()[1:] == [5, NO, NO]


def test_padding_with_an_edit_token_edits_nothing(tokenizer):
    """What is padding is told by lengths, never by the id."""
    vocab = vocab_of(tokenizer)
    rows = [TraceRow([1], [2, 3, 4]), TraceRow([1], [5])]
    batch = TraceCollator(vocab, vocab.backtrack, ErasedTokens.MASK)(rows)
    assert batch["labels"].tolist() == [[NO, 2, 3, 4], [NO, 5, NO, NO]]


def test_masked_errors_get_no_gradient_as_targets(tokenizer):
    """The loss is the cross entropy over the unmasked actions; an erased one is no target."""
    model, vocab = new_model(tokenizer, Size.TINY, seed=0), vocab_of(tokenizer)
    row = TraceRow(tokenizer.encode("3 5 -> 8\n"), tokenizer.encode(f"3+4{BACKTRACK_TOKEN}5=8\n"))
    batch = TraceCollator(vocab, 0, ErasedTokens.MASK)([row])
    log_probs = model(input_ids=batch["input_ids"]).logits[0].log_softmax(-1)
    prompt = len(row.prompt_ids)
    imitated = [t for t in range(len(row.response_ids)) if t != 2]  # the 4 is erased
    expected = -torch.stack([log_probs[prompt + t - 1, row.response_ids[t]] for t in imitated]).mean()
    torch.testing.assert_close(model(**batch).loss, expected)


def test_hard_context_is_the_loss_of_its_contexts(tokenizer, trace_file, tmp_path):
    """One step in hard context follows the gradient of the actions scored from the live text."""
    response = f"3+4=7{BACKTRACK_TOKEN * 3}5=8\n"
    data = trace_file(("3 5 -> 8\n", response), ("7 -> 7\n", "7\n"))
    settings = TrainSettings(
        steps=1, batch_size=2, context=Context.HARD, learning_rate=1e-3, warmup_steps=0, bf16=False
    )
    trained = new_model(tokenizer, Size.TINY, seed=0)
    told = fine_tune(trained, tokenizer, [data], settings, tmp_path / "out", show_progress=False)
    model, vocab = new_model(tokenizer, Size.TINY, seed=0), vocab_of(tokenizer)
    total, count = 0.0, 0
    for row in read_traces(data, tokenizer):
        prompt = torch.tensor([row.prompt_ids])
        resolution = resolve_row(row.response_ids, vocab)
        scores = score_actions(model, prompt, torch.ones_like(prompt, dtype=torch.bool), resolution)
        mask = response_mask(resolution, ErasedTokens.MASK)
        total, count = total - (scores.log_probs * mask).sum(), count + int(mask.sum())
    assert told["train_loss"] == pytest.approx((total / count).item(), abs=1e-5)
    (total / count).backward()
    # The first step of AdamW moves each weight against the sign of its gradient.
    moved = (
        trained.lm_head.weight.detach().cpu()
        - new_model(tokenizer, Size.TINY, seed=0).lm_head.weight.detach()
    )
    strong = model.lm_head.weight.grad.abs() > 1e-4
    assert strong.sum() > 1000
    assert torch.equal(moved[strong].sign(), -model.lm_head.weight.grad[strong].sign())


def test_without_a_bar_nothing_is_printed(tokenizer, trace_file, tmp_path, capsys):
    """The trainer of transformers would print its logs instead."""
    data = trace_file(("3 5 -> 8\n", "3+5=8\n"))
    settings = TrainSettings(steps=1, batch_size=1, bf16=False)
    fine_tune(
        new_model(tokenizer, Size.TINY, seed=0),
        tokenizer,
        [data],
        settings,
        tmp_path / "out",
        show_progress=False,
    )
    assert capsys.readouterr().out == ""


def test_learns_and_saves(tokenizer, trace_file, tmp_path):
    """Two traces are learnt by heart; model and tokenizer are saved together, checkpoints are gone."""
    data = trace_file(("3 -> 3\n", f"4{BACKTRACK_TOKEN}3\n"), ("7 -> 7\n", "7\n"))
    model = new_model(tokenizer, Size.TINY, seed=0)
    out = tmp_path / "out"
    settings = TrainSettings(steps=30, batch_size=4, micro_batch_size=2, learning_rate=3e-3, log_steps=5)
    fine_tune(model, tokenizer, [data], settings, out, show_progress=False)
    assert not (out / "checkpoints").exists()
    assert list((out / "tensorboard").glob("events*"))
    loaded, again = load_model(str(out)), load_tokenizer(str(out))
    ids = again.encode(f"3 -> 3\n4{BACKTRACK_TOKEN}")
    with torch.no_grad():
        log_probs = loaded(torch.tensor([ids])).logits[0].log_softmax(-1)
    assert log_probs[-1].argmax() == again.encode("3")[0]
    assert log_probs[-2].argmax() == ids[-1]  # having written 4, it takes it back
    assert log_probs[-3, ids[-2]] < log_probs[-3].max()  # but was never taught to write it


def test_the_seed_decides(tokenizer, trace_file, tmp_path):
    """The same seed and data give the same weights."""
    data = trace_file(*((f"{n} -> {n}\n", f"{n}\n") for n in range(20)))
    weights = []
    for name in "ab":
        model = new_model(tokenizer, Size.TINY, seed=0)
        settings = TrainSettings(steps=3, batch_size=4, seed=5)
        fine_tune(model, tokenizer, [data], settings, tmp_path / name, show_progress=False)
        weights.append(load_model(str(tmp_path / name)).get_input_embeddings().weight)
    assert torch.equal(*weights)


def test_an_interrupted_run_goes_on(tokenizer, trace_file, tmp_path, monkeypatch):
    """Started again with the same folder, training continues from the last checkpoint to the same weights."""
    data = trace_file(*((f"{n} -> {n}\n", f"{n}\n") for n in range(20)))
    settings = TrainSettings(steps=6, batch_size=4, save_steps=2, log_steps=1)
    whole = new_model(tokenizer, Size.TINY, seed=0)
    fine_tune(whole, tokenizer, [data], settings, tmp_path / "whole", show_progress=False)

    from transformers import Trainer

    step, taken = Trainer.training_step, []

    def until_the_power_cut(self, *args, **kwargs):
        taken.append(self.state.global_step)
        if len(taken) == 5:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "training_step", until_the_power_cut)
    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        fine_tune(
            new_model(tokenizer, Size.TINY, seed=0), tokenizer, [data], settings, out, show_progress=False
        )
    fine_tune(new_model(tokenizer, Size.TINY, seed=0), tokenizer, [data], settings, out, show_progress=False)
    assert taken == [0, 1, 2, 3, 4, 4, 5]
    weights = [load_model(str(f)).get_input_embeddings().weight for f in (tmp_path / "whole", out)]
    torch.testing.assert_close(*weights)


@pytest.mark.parametrize("half", ["", '{"global_step": 4, "epo'])
def test_a_run_that_was_killed_over_a_checkpoint_goes_on(tokenizer, trace_file, tmp_path, monkeypatch, half):
    """Half a checkpoint is passed over: training goes on from the whole one before, to the same weights."""
    data = trace_file(*((f"{n} -> {n}\n", f"{n}\n") for n in range(20)))
    settings = TrainSettings(steps=6, batch_size=4, save_steps=2, log_steps=1)

    def train(name):
        model = new_model(tokenizer, Size.TINY, seed=0)
        fine_tune(model, tokenizer, [data], settings, tmp_path / name, show_progress=False)
        return model.get_input_embeddings().weight.detach()

    whole, save = train("whole"), TrainerState.save_to_json

    def killed(self, path):
        if self.global_step < 4:
            return save(self, path)
        if half:
            Path(path).write_text(half, encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TrainerState, "save_to_json", killed)
        with pytest.raises(KeyboardInterrupt):
            train("cut")
    left = {path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()}
    assert left == {"checkpoint-2", "checkpoint-4"}
    torch.testing.assert_close(train("cut"), whole)


def test_a_trace_longer_than_the_model_is_refused(tokenizer, trace_file, tmp_path):
    """The message names both lengths."""
    data = trace_file(("3 -> 3\n", "3\n" * 20))
    model = new_model(tokenizer, Size.TINY, seed=0, max_length=16)
    with pytest.raises(DataError, match="44 tokens with its prompt, the model has 16 positions"):
        fine_tune(model, tokenizer, [data], TrainSettings(steps=1), tmp_path / "out", show_progress=False)


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"learning_rate": 0.0}, {"batch_size": 6, "micro_batch_size": 4}]
)
def test_bad_settings_are_refused(bad):
    """Values out of range are named."""
    with pytest.raises(SettingsError):
        TrainSettings(**bad)


class TestCommands:
    """`halluc train` and `halluc warmstart`."""

    def run(self, *arguments):
        """Run a command."""
        return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=True)

    def test_train(self, tokenizer, trace_file, tmp_path):
        """A model folder and trace files give a new model folder."""
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
        save_tokenizer(tokenizer, tmp_path / "model")
        data = trace_file(("3 -> 3\n", "3\n"))
        done = self.run(
            *("train", "--model", tmp_path / "model", "--data", data, "--out", tmp_path / "out"),
            *("--steps", 1, "--batch-size", 1),
        )
        assert done.exit_code == 0, done.output
        assert "Mean loss" in done.output
        assert (tmp_path / "out" / "model.safetensors").exists()

    def test_train_takes_what_a_run_needs(self, tokenizer, trace_file, tmp_path, monkeypatch):
        """Checkpoints, precision and the end of steps are settings; the default saves before it is done."""
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
        save_tokenizer(tokenizer, tmp_path / "model")
        given = []

        def record(*arguments, step_delimiter, show_progress):
            assert show_progress
            given.append((arguments[3], step_delimiter))
            return {"train_loss": 0.0, "train_runtime": 0.0}

        monkeypatch.setattr("halluc_plugin.training.fine_tune", record)
        fixed = ("train", "--model", tmp_path / "model", "--data", trace_file(("3 -> 3\n", "3\n")))
        fixed = (*fixed, "--out", tmp_path / "out")
        own = ("--save-steps", 7, "--no-bf16", "--step-delimiter", ";")
        assert self.run(*fixed).exit_code == self.run(*fixed, *own).exit_code == 0
        (default, newline), (settings, semicolon) = given
        assert (default.save_steps, default.bf16, newline) == (200, None, "\n")
        assert default.save_steps < default.steps
        assert (settings.save_steps, settings.bf16, semicolon) == (7, False, ";")

    def test_warmstart(self, trace_file, tmp_path):
        """A model from scratch, on files of one's own."""
        data = trace_file(("3 -> 3\n", f"4{BACKTRACK_TOKEN}3\n"))
        done = self.run(
            "warmstart", "--out", tmp_path / "out", "--data", data, "--steps", 1, "--size", "0.9M"
        )
        assert done.exit_code == 0, done.output
        assert load_model(str(tmp_path / "out")).config.hidden_size == 128

    def test_bad_input(self, trace_file, tmp_path):
        """A wrong choice is one message that lists the right ones."""
        done = self.run("warmstart", "--out", tmp_path, "--size", "1B")
        assert done.exit_code == 2
        assert "--size" in done.output
        assert "'0.9M', '3M'" in done.output


def test_a_likelihood_cannot_turn_against_erased_tokens():
    """erased_tokens=negative is refused, with what a likelihood can do."""
    with pytest.raises(SettingsError, match=r"for policy gradients.*Give mask, keep or weight"):
        TrainSettings(erased_tokens=ErasedTokens.NEGATIVE)
