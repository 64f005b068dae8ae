"""Training chooses the quicker attention, with the same result."""

import pytest
import torch

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import Context
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.training import TrainSettings, fine_tune, fine_tuning
from halluc_plugin.training.attention import LONGEST, unfused_attention


@pytest.fixture(scope="module")
def model():
    """A small model with torch's fused attention."""
    return new_model(number_tokenizer(), Size.TINY, seed=0).eval()


def implementation(model):
    """What the model attends with."""
    return model.config._attn_implementation


@pytest.mark.skipif(torch.accelerator.is_available(), reason="a model may be moved to the accelerator")
def test_short_rows_in_half_precision_are_attended_by_plain_products(model):
    """Inside the block only, and also when it is left by an error."""
    assert implementation(model) == "sdpa"
    with unfused_attention(model, LONGEST, bf16=True):
        assert implementation(model) == "eager"
    assert implementation(model) == "sdpa"
    with pytest.raises(ValueError, match="bad"), unfused_attention(model, LONGEST, bf16=True):
        int("bad")
    assert implementation(model) == "sdpa"


@pytest.mark.parametrize(("longest", "bf16"), [(LONGEST + 1, True), (10, False)])
def test_elsewhere_the_fused_kernel_stays(model, longest, bf16):
    """On longer rows, and in single precision, it is not the slower one."""
    with unfused_attention(model, longest, bf16=bf16):
        assert implementation(model) == "sdpa"


def test_gradients_are_the_same(model):
    """Padding included, both give the gradients of single precision up to rounding."""
    ids = torch.randint(300, 600, (3, 12), generator=torch.Generator().manual_seed(0))
    valid = torch.arange(12) < torch.tensor([[12], [9], [5]])

    def gradient(*, bf16):
        model.zero_grad()
        with unfused_attention(model, 12, bf16=bf16):
            logits = model(input_ids=ids, attention_mask=valid.long(), use_cache=False).logits
        torch.nn.functional.cross_entropy(logits[valid], ids[valid]).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    torch.testing.assert_close(gradient(bf16=True), gradient(bf16=False), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bf16", [False, True])
def test_fine_tuning_is_checked_as_it_will_run(bf16, tmp_path, monkeypatch):
    """What is read in hard context is compared in the training's own precision, where its trainer put it."""
    calls, check = [], fine_tuning.check_reading

    def checked(model, *args, autocast):
        calls.append((autocast, next(model.parameters()).device.type))
        check(model, *args, autocast=autocast)

    monkeypatch.setattr(fine_tuning, "check_reading", checked)
    tokenizer, path = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), tmp_path / "traces.parquet"
    rows = [TraceRow(tokenizer.encode("7"), tokenizer.encode(f"2{BACKTRACK_TOKEN}4\n"))] * 2
    write_traces(path, rows, tokenizer)
    settings = TrainSettings(steps=1, batch_size=2, context=Context.HARD, warmup_steps=0, bf16=bf16)
    fine_tune(
        new_model(tokenizer, Size.TINY, seed=0), tokenizer, [path], settings, tmp_path / "out",
        show_progress=False,
    )  # fmt: skip
    device = torch.accelerator.current_accelerator()
    where = device.type if torch.accelerator.is_available() and device is not None else "cpu"
    assert calls == [(torch.bfloat16 if bf16 else torch.float32, where)]
    assert "halluc_packed" not in "".join(
        file.read_text(encoding="utf-8") for file in (tmp_path / "out").glob("*.json")
    )
