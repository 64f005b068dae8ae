"""Low-rank updates: what is trained, what stays as it was, and that a plain model is saved."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import Context
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import load_model, save_tokenizer
from halluc_plugin.training import TrainSettings, fine_tune_low_rank, low_rank
from halluc_plugin.training.dataset import vocab_of

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
    settings = TrainSettings(**vars(STEPS) | {"context": context})
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
    """`halluc train --low-rank` trains updates of a model whose weights keep their precision."""
    model_of(tokenizer).to(torch.bfloat16).save_pretrained(tmp_path / "model")
    save_tokenizer(tokenizer, tmp_path / "model")
    args = ["--model", tmp_path / "model", "--data", traces(tokenizer, tmp_path), "--out", tmp_path / "out"]
    how = ["--low-rank", RANK, "--steps", 2, "--batch-size", 2, "--bf16"]
    result = CliRunner().invoke(app, ["train", *map(str, [*args, *how])], catch_exceptions=False)
    assert result.exit_code == 0
    assert load_model(str(tmp_path / "out"), dtype="auto").dtype is torch.bfloat16
    assert (tmp_path / "out" / low_rank.ADAPTER / "adapter_model.safetensors").exists()


def test_bad_input_is_refused(tokenizer, tmp_path, monkeypatch):
    """A rank of 0, and a missing package, before anything is written."""
    with pytest.raises(SettingsError, match="rank is 0"):
        fine_tune_low_rank(model_of(tokenizer), tokenizer, [], STEPS, tmp_path / "out", rank=0)
    monkeypatch.setattr(low_rank, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="pip install peft"):
        fine_tune_low_rank(model_of(tokenizer), tokenizer, [], STEPS, tmp_path / "out", rank=1)
    assert not list(tmp_path.iterdir())
