"""Rows that stand for no token stay as they are in training, and are not counted in its loss."""

import pytest
import torch
from transformers import AutoModelForCausalLM, PhiConfig

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import Context
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import add_edit_tokens, edit_vocab
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.tokens.tables import token_tables
from halluc_plugin.training import TrainSettings, fine_tune, fine_tune_low_rank

SIZE = 704


@pytest.fixture
def padded():
    """A Phi with 63 rows of padding, each as likely as a hundred tokens, and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = number_tokenizer(largest=431)
    config = PhiConfig(
        vocab_size=SIZE, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attention_dropout=0.0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    assert add_edit_tokens(model, tokenizer).padding == 63
    return model, tokenizer


@pytest.fixture
def traces(padded, tmp_path):
    """One trace with an edit."""
    tokenizer = padded[1]
    b = edit_vocab(tokenizer).backtrack
    rows = [TraceRow([300, 301], [302, b, 303, tokenizer.eos_token_id])] * 2
    write_traces(tmp_path / "traces.parquet", rows, tokenizer)
    return tmp_path / "traces.parquet"


@pytest.mark.parametrize("context", list(Context))
def test_padding_stays_as_it_was(padded, traces, tmp_path, context):
    """After steps with weight decay each row of padding is what it was, bit for bit; the tokens' are not."""
    model, tokenizer = padded
    before = {table.name: table.rows.detach().clone() for table in token_tables(model)}
    settings = TrainSettings(steps=3, batch_size=2, learning_rate=1e-2, weight_decay=0.5, context=context)
    fine_tune(model, tokenizer, [traces], settings, tmp_path / "out", show_progress=False)
    saved = load_model(str(tmp_path / "out"))
    for name, rows in before.items():
        after = saved.get_parameter(name).detach()
        assert torch.equal(after[SIZE + 1 :], rows[SIZE + 1 :]), name
        assert not torch.equal(after[: SIZE + 1], rows[: SIZE + 1])


@pytest.mark.parametrize("context", list(Context))
def test_padding_is_not_in_the_loss(padded, traces, tmp_path, context):
    """However likely padding is, the loss is the mean -log-prob of the labels among tokens."""
    model, tokenizer = padded
    with torch.no_grad():
        model.lm_head.bias[SIZE + 1 :] = 50.0
    b, eos = edit_vocab(tokenizer).backtrack, tokenizer.eos_token_id
    raw = [300, 301, 302, b, 303, eos]
    live = [300, 301, 303, eos]  # what each action saw in hard context
    with torch.no_grad():
        soft = model(torch.tensor([raw])).logits[0, :, : SIZE + 1].log_softmax(-1)
        hard = model(torch.tensor([live])).logits[0, :, : SIZE + 1].log_softmax(-1)
        behind = model(torch.tensor([[300, 301, 302]])).logits[0, -1, : SIZE + 1].log_softmax(-1)
    if context is Context.SOFT:
        labels = [soft[2, b], soft[3, 303], soft[4, eos]]
    else:
        labels = [behind[b], hard[1, 303], hard[2, eos]]
    settings = TrainSettings(steps=1, batch_size=2, learning_rate=1e-9, context=context)
    done = fine_tune(model, tokenizer, [traces], settings, tmp_path / "out", show_progress=False)
    assert done["train_loss"] == pytest.approx(-sum(map(float, labels)) / 3, abs=1e-4)


def test_low_rank_updates_leave_padding(traces, tmp_path):
    """Merged updates change neither rows of padding nor those of other tokens."""
    pytest.importorskip("peft")
    from transformers import Qwen3Config

    torch.manual_seed(0)
    tokenizer = number_tokenizer(largest=431)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    small |= {"num_key_value_heads": 2, "head_dim": 8}
    model = AutoModelForCausalLM.from_config(Qwen3Config(vocab_size=SIZE, **small))
    add_edit_tokens(model, tokenizer)
    before = {table.name: table.rows.detach().clone() for table in token_tables(model)}
    settings = TrainSettings(steps=2, batch_size=2, learning_rate=1e-2)
    fine_tune_low_rank(model, tokenizer, [traces], settings, tmp_path / "out", rank=2, show_progress=False)
    saved = load_model(str(tmp_path / "out"))
    for name, rows in before.items():
        after = saved.get_parameter(name).detach()
        assert torch.equal(after[SIZE + 1 :], rows[SIZE + 1 :])
        assert torch.equal(after[:SIZE], rows[:SIZE])
        assert not torch.equal(after[SIZE], rows[SIZE])
