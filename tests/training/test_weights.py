"""Weighted imitation: what each token weighs, and the loss that comes of it, in soft and in hard context."""

import pytest
import torch

from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import Context, ErasedTokens, resolve_row
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.hard import score_actions
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN, vocab_of
from halluc_plugin.training import TrainSettings, fine_tune
from halluc_plugin.training.dataset import TraceCollator, TreeCollator, weighing_of

TOKENIZER = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, STEP_TOKEN))
VOCAB = vocab_of(TOKENIZER)
EOS = TOKENIZER.eos_token_id


def row_of(response, erased=None):
    """A row with one token of prompt, and EOS behind the response."""
    return TraceRow(TOKENIZER.encode("7"), [*TOKENIZER.encode(response), EOS], erased)


# Imitated: 2 ⏎ ␈ 4 ⏎ EOS and 5 ⏎ EOS; ␈, 4 and both EOS decide; 3 ⏎ is erased.
ROWS = [row_of(f"2\n3\n{STEP_TOKEN}4\n"), row_of("5\n")]
SHARES = {
    "masked": (ErasedTokens.MASK, LossShares(decisions=0.5), 1.125, 0.0, 0.9),
    "kept": (ErasedTokens.KEEP, LossShares(decisions=0.5), 1.375, 5.5 / 7, 5.5 / 7),
    "weighed": (ErasedTokens.WEIGHT, LossShares(0.5, 0.1), 1.375, 0.55, 0.88),
}


@pytest.mark.parametrize(("erased", "shares", "d", "e", "r"), SHARES.values(), ids=SHARES.keys())
def test_weights_by_hand(erased, shares, d, e, r):
    """Decisions, erased tokens and the rest weigh alike in both contexts, prompt and padding nothing."""
    weighing = weighing_of(ROWS, TraceCollator(VOCAB, 0, erased), shares, TOKENIZER, step_delimiter="\n")
    soft = TraceCollator(VOCAB, 0, erased, weighing=weighing)(ROWS)
    hard = TreeCollator(VOCAB, 0, erased, weighing=weighing)(ROWS)
    expected = torch.tensor([[0, r, r, e, e, d, d, r, d], [0, r, r, d, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(soft["weights"], expected)
    torch.testing.assert_close(hard["weights"], expected)
    assert float(expected.sum()) == pytest.approx(9 if erased is ErasedTokens.MASK else 11)


def test_what_words_take_back_weighs_as_erased():
    """A column that tells it counts like an edit that erases."""
    rows = [row_of("2\n3\n", [True, True, False, False, False])]
    counting = TraceCollator(VOCAB, 0, ErasedTokens.WEIGHT)
    weighing = weighing_of(rows, counting, LossShares(erased=0.4), TOKENIZER, step_delimiter="\n")
    weights = TraceCollator(VOCAB, 0, ErasedTokens.WEIGHT, weighing=weighing)(rows)["weights"]
    assert weights[0].tolist() == pytest.approx([0, 1, 1, 1, 1, 1])  # 0.4 · 5 / 2, and 0.6 · 5 / 3


def test_without_shares_nothing_is_weighed():
    """As before: batches have no weights."""
    counting = TraceCollator(VOCAB, 0, ErasedTokens.KEEP)
    assert weighing_of(ROWS, counting, LossShares(), TOKENIZER, step_delimiter="\n") is None
    assert "weights" not in counting(ROWS)


@pytest.mark.parametrize("context", list(Context))
def test_the_loss_is_the_weighted_one(context, tmp_path):
    """One step logs the weighted cross entropy by hand, each action scored from what it saw."""
    write_traces(tmp_path / "traces.parquet", ROWS, TOKENIZER)
    settings = TrainSettings(
        steps=1, batch_size=2, micro_batch_size=1, context=context, warmup_steps=0, bf16=False,
        erased_tokens=ErasedTokens.WEIGHT, shares=LossShares(0.5, 0.1),
    )  # fmt: skip
    trained = new_model(TOKENIZER, Size.TINY, seed=0)
    told = fine_tune(
        trained, TOKENIZER, [tmp_path / "traces.parquet"], settings, tmp_path / "out", show_progress=False
    )
    model, total = new_model(TOKENIZER, Size.TINY, seed=0), 0.0
    weights = [[0.88, 0.88, 0.55, 0.55, 1.375, 1.375, 0.88, 1.375], [0.88, 0.88, 1.375]]
    for row, weight in zip(read_traces(tmp_path / "traces.parquet", TOKENIZER), weights, strict=True):
        prompt = torch.tensor([row.prompt_ids])
        if context is Context.HARD:
            seen = torch.ones_like(prompt, dtype=torch.bool)
            scores = score_actions(model, prompt, seen, resolve_row(row.response_ids, VOCAB)).log_probs[0]
        else:
            ids = torch.tensor([row.prompt_ids + row.response_ids])
            logits = model(input_ids=ids).logits[0].log_softmax(-1)
            scores = logits[torch.arange(ids.shape[1] - 1), ids[0, 1:]][len(row.prompt_ids) - 1 :]
        total -= (scores * torch.tensor(weight)).sum().item()
    assert told["train_loss"] == pytest.approx(total / 11, abs=1e-5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"erased_tokens": ErasedTokens.WEIGHT}, "share of the loss that erased tokens get is not given"),
        ({"shares": LossShares(erased=0.1)}, "share of 0.1 of the loss, and erased_tokens=mask"),
    ],
)
def test_settings_that_do_not_go_together(values, said):
    """Erased tokens have a share exactly if they are to be weighed."""
    with pytest.raises(SettingsError, match=said):
        TrainSettings(**values)


def test_a_share_for_tokens_that_the_data_have_none_of(tmp_path):
    """Clean traces have no erased tokens to weigh: that is said before anything is trained."""
    write_traces(tmp_path / "traces.parquet", ROWS[1:], TOKENIZER)
    settings = TrainSettings(steps=1, erased_tokens=ErasedTokens.WEIGHT, shares=LossShares(erased=0.1))
    model = new_model(TOKENIZER, Size.TINY, seed=0)
    with pytest.raises(DataError, match="erased tokens, and the traces have none"):
        fine_tune(model, TOKENIZER, [tmp_path / "traces.parquet"], settings, tmp_path / "out")
