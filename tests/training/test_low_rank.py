"""Low-rank updates: what is trained, what stays as it was, and that a plain model is saved."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest
import torch
from transformers import (
    MambaConfig,
    MambaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Trainer,
    TrainerCallback,
)
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, save_tokenizer
from halluc_plugin.training import TrainSettings, fine_tune_low_rank, low_rank
from halluc_plugin.training.dataset import TraceCollator

RANK = 2
TEXTS = (("3 5\n", f"7{BACKTRACK_TOKEN}8\n"), ("2 2\n", "4\n"))
STEPS = TrainSettings(steps=12, batch_size=2, learning_rate=1e-2, warmup_steps=1, bf16=False)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


def model_of(tokenizer, *, tied=True):
    """A small random model."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, head_dim=8,
        num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=tied,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def traces(tokenizer, folder, texts=TEXTS):
    """A file of prompts and responses."""
    path = folder / "traces.parquet"
    rows = [TraceRow(tokenizer.encode(prompt), tokenizer.encode(answer)) for prompt, answer in texts]
    write_traces(path, rows, tokenizer)
    return path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("context", list(Context))
def test_projections_change_by_that_rank_and_embeddings_at_the_edit_tokens(
    tokenizer, tmp_path, tied, context
):
    """All else is as it was; the saved model loads as any other, and says what the trained one says."""
    data, before = traces(tokenizer, tmp_path), model_of(tokenizer, tied=tied)
    model = model_of(tokenizer, tied=tied)
    settings = replace(STEPS, context=context)
    fine_tune_low_rank(model, tokenizer, [data], settings, tmp_path / "out", rank=RANK, show_progress=False)
    after = load_model(str(tmp_path / "out"), dtype="float32")
    assert type(after) is Qwen3ForCausalLM
    back = vocab_of(tokenizer).backtrack
    old = dict(before.named_parameters())
    for name, weight in after.named_parameters():
        moved = (weight - old[name]).detach()
        if "proj" in name:
            assert torch.linalg.matrix_rank(moved, rtol=1e-4) == RANK, name
        elif "embed" in name or "lm_head" in name:
            assert moved.abs().sum(-1).nonzero().flatten().tolist() == [back], name
        else:
            assert not moved.any(), name
    ids = torch.tensor([tokenizer.encode("3 5\n7")])
    torch.testing.assert_close(after(input_ids=ids).logits, model.cpu().eval()(input_ids=ids).logits)


def phi_of(tokenizer, *, tied, dtype=torch.float32):
    """A small random Phi, whose output has a bias; far from 0, so that a loss without it is another one."""
    torch.manual_seed(0)
    config = PhiConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, tie_word_embeddings=tied, resid_pdrop=0.0,
    )  # fmt: skip
    model = PhiForCausalLM(config).eval()
    torch.nn.init.normal_(model.lm_head.bias, std=3.0)
    return model.to(dtype)


class TestBias:
    """A model whose output has a bias."""

    @pytest.mark.parametrize("tied", [True, False])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_it_counts_and_its_edit_rows_are_trained(self, tokenizer, tmp_path, tied, dtype):
        """The first loss is the model's own, bias included; the bias changes at the edit token alone."""
        data, before = traces(tokenizer, tmp_path), phi_of(tokenizer, tied=tied, dtype=dtype)
        with torch.no_grad():
            batch = TraceCollator(vocab_of(tokenizer), 0, STEPS.erased_tokens)(read_traces(data, tokenizer))
            expected = before(**batch).loss.item()
        model, losses = phi_of(tokenizer, tied=tied, dtype=dtype), []

        class Losses(TrainerCallback):
            def on_log(self, args, state, control, logs, **_):
                losses.extend([logs["loss"]] if "loss" in logs else [])

        settings = replace(STEPS, log_steps=1, learning_rate=1e-1)
        fine_tune_low_rank(
            model, tokenizer, [data], settings, tmp_path / "out", rank=RANK, show_progress=False,
            callbacks=[Losses()],
        )  # fmt: skip
        assert losses[0] == pytest.approx(expected, rel=1e-3 if dtype is torch.float32 else 3e-2)
        after = load_model(str(tmp_path / "out"), dtype="auto")
        assert {name for name, _ in after.named_parameters()} == {n for n, _ in before.named_parameters()}
        moved = (after.lm_head.bias - before.lm_head.bias).detach()
        assert after.lm_head.bias.dtype is dtype
        assert moved.nonzero().flatten().tolist() == [vocab_of(tokenizer).backtrack]
        ids = torch.tensor([tokenizer.encode("3 5\n7")])
        torch.testing.assert_close(after(input_ids=ids).logits, model.cpu().eval()(input_ids=ids).logits)

    def test_an_interrupted_run_goes_on_with_it(self, tokenizer, tmp_path, monkeypatch):
        """The trained value of the bias is in the checkpoint: the run ends at the same one."""
        data, settings = traces(tokenizer, tmp_path), replace(STEPS, steps=4, save_steps=2)

        def train(name):
            model = phi_of(tokenizer, tied=False)
            how = {"rank": RANK, "show_progress": False}
            fine_tune_low_rank(model, tokenizer, [data], settings, tmp_path / name, **how)
            return load_model(str(tmp_path / name)).lm_head.bias.detach()

        whole, step = train("whole"), Trainer.training_step

        def until_the_power_cut(self, *args, **kwargs):
            if self.state.global_step == 3:
                monkeypatch.setattr(Trainer, "training_step", step)
                raise KeyboardInterrupt
            return step(self, *args, **kwargs)

        monkeypatch.setattr(Trainer, "training_step", until_the_power_cut)
        with pytest.raises(KeyboardInterrupt):
            train("cut")
        torch.testing.assert_close(train("cut"), whole)

    def test_a_further_head_with_a_bias_is_refused(self, tokenizer, tmp_path):
        """Its bias would be left out of the loss without a word."""
        model = model_of(tokenizer)
        model.add_module("mtp_head", torch.nn.Linear(32, len(tokenizer)))
        with pytest.raises(SettingsError, match=r"cannot train a row of mtp_head\.bias"):
            fine_tune_low_rank(model, tokenizer, [], STEPS, tmp_path, rank=1)


def test_a_tokenizer_without_edit_tokens(tmp_path):
    """Then no row of the embeddings is trained: the baseline's case."""
    tokenizer = number_tokenizer()
    model = model_of(tokenizer)
    rows = model.get_input_embeddings().weight.detach().clone()
    data = traces(tokenizer, tmp_path, (("3 5\n", "8\n"), ("2 2\n", "4\n")))
    told = fine_tune_low_rank(
        model, tokenizer, [data], STEPS, tmp_path / "out", rank=RANK, show_progress=False
    )
    assert torch.equal(load_model(str(tmp_path / "out")).get_input_embeddings().weight, rows)
    assert told["train_loss"] < 6.5


def test_from_the_command_line_a_half_precision_model_stays_one(tokenizer, tmp_path):
    """`halluc train --low-rank` changes projections and the token's row; the folder is refused afterwards."""
    model_of(tokenizer).to(torch.bfloat16).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    args = ["--model", tmp_path / "model", "--data", traces(tokenizer, tmp_path), "--out", tmp_path / "out"]
    how = ["--low-rank", RANK, "--steps", 3, "--batch-size", 2, "--learning-rate", 1]

    def train():
        return CliRunner().invoke(app, ["train", *map(str, [*args, *how])], catch_exceptions=False)

    assert train().exit_code == 0
    before, after = (load_model(str(tmp_path / name), dtype="auto") for name in ("model", "out"))
    assert after.dtype is torch.bfloat16
    moved = {
        n: (w - p).detach() for (n, w), p in zip(after.named_parameters(), before.parameters(), strict=True)
    }
    assert all(change.any() == ("proj" in name or "embed" in name) for name, change in moved.items())
    (rows,) = [change for name, change in moved.items() if "embed" in name]
    assert rows.abs().sum(-1).nonzero().flatten().tolist() == [vocab_of(tokenizer).backtrack]
    with pytest.raises(SettingsError, match="holds a model"):
        train()


@pytest.mark.parametrize("tied", [True, False])
def test_an_interrupted_run_goes_on_with_what_it_had(tokenizer, tmp_path, monkeypatch, tied):
    """Started again it ends at the same weights; with another rank it is refused, and nothing is lost.

    The power is cut while the merged model is written, too: the checkpoints are there until it is.
    """
    data = traces(tokenizer, tmp_path, [(f"{n} {n}\n", f"{n}{BACKTRACK_TOKEN}{n + 1}\n") for n in range(8)])
    settings = replace(STEPS, steps=6, save_steps=2)

    def train(name, rank=RANK):
        model = model_of(tokenizer, tied=tied)
        fine_tune_low_rank(
            model, tokenizer, [data], settings, tmp_path / name, rank=rank, show_progress=False
        )

    train("whole")
    step, save, taken = Trainer.training_step, low_rank.save_model, []

    def until_the_power_cut(self, *args, **kwargs):
        taken.append(self.state.global_step)
        if len(taken) == 5:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    def cut(*_, **__):
        monkeypatch.setattr(low_rank, "save_model", save)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "training_step", until_the_power_cut)
    monkeypatch.setattr(low_rank, "save_model", cut)
    with pytest.raises(KeyboardInterrupt):
        train("cut")
    with pytest.raises(SettingsError, match="interrupted run of rank 2, not 3"):
        train("cut", rank=3)
    with pytest.raises(KeyboardInterrupt):
        train("cut")
    train("cut")
    assert taken[:7] == [0, 1, 2, 3, 4, 4, 5]  # transformers adds a step at a rate of 0 to a finished run
    whole, resumed = (load_model(str(tmp_path / name)) for name in ("whole", "cut"))
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not (tmp_path / "cut" / low_rank.ADAPTER / "checkpoints").exists()


def test_a_model_that_peft_does_not_know_is_refused(tokenizer, tmp_path):
    """One message says so, and what to do."""
    model = MambaForCausalLM(
        MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, state_size=4)
    )
    with pytest.raises(SettingsError, match=r"no low-rank updates for a MambaForCausalLM.*Train all weights"):
        fine_tune_low_rank(model, tokenizer, [], STEPS, tmp_path / "out", rank=RANK)


def test_bad_input_is_refused(tokenizer, tmp_path, monkeypatch):
    """A rank of 0, a folder in which all weights are being trained, a missing or old package."""

    def train(rank=1):
        fine_tune_low_rank(model_of(tokenizer), tokenizer, [], STEPS, tmp_path, rank=rank)

    with pytest.raises(SettingsError, match="rank is 0"):
        train(rank=0)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(SettingsError, match="an interrupted run that trains all weights"):
        train()
    monkeypatch.setattr(low_rank, "version", lambda _: "0.14.0")
    with pytest.raises(SettingsError, match=r"0\.14\.0 is installed.*pip install 'peft>="):
        train()

    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(low_rank, "version", missing)
    with pytest.raises(SettingsError, match="none is installed"):
        train()
