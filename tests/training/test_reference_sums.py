"""What a model says of pairs: equality with imitation, and the file of what the reference says."""

from dataclasses import replace

import pytest
import torch

from halluc_plugin.data.pair_files import write_pairs
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.losses.preference import Preference
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training import preferring
from halluc_plugin.training.dataset import TraceCollator
from halluc_plugin.training.pairs import Example, PairCollator
from halluc_plugin.training.reference_sums import SumReader, counted_log_probs
from tests.training.preference_cases import pair_file, pairs, settings_of, tokenizer, trained

__all__ = ["pair_file", "pairs", "tokenizer"]  # fixtures


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("erased", [ErasedTokens.MASK, ErasedTokens.KEEP])
def test_sums_are_those_of_imitation(tokenizer, pairs, context, erased):
    """The sum over a side is minus the imitation loss of its counted tokens, from the same labels."""
    model, vocab = new_model(tokenizer, Size.TINY, seed=0).eval(), vocab_of(tokenizer)
    collator = PairCollator(vocab, 0, erased)
    batch = collator([Example(row) for row in pairs])
    sums = counted_log_probs(model, batch, collator, context).sum(1)
    for row, side in zip(pairs, range(len(pairs)), strict=True):
        for at, trace in zip((side, side + len(pairs)), row.sides, strict=True):
            imitated = TraceCollator(vocab, 0, erased)([trace])
            imitated["labels"][:, : len(trace.prompt_ids) + row.shared] = -100
            if context is Context.SOFT:
                loss = model(**imitated).loss * (imitated["labels"] != -100).sum()
            else:  # each action from its collapsed prefix
                loss = -sum(
                    _from_collapsed(model, vocab, trace, t)
                    for t in range(len(trace.response_ids))
                    if imitated["labels"][0, len(trace.prompt_ids) + t] != -100
                )
            assert sums[at].item() == pytest.approx(-loss.item(), abs=2e-4)


def _from_collapsed(model, vocab, trace, t):
    """The log-prob of one action after its live text alone."""
    from halluc_plugin.edits import collapse

    seen = torch.tensor([trace.prompt_ids + collapse(trace.response_ids[:t], vocab)])
    return model(input_ids=seen).logits[0, -1].log_softmax(-1)[trace.response_ids[t]]


@pytest.mark.parametrize("context", list(Context))
def test_log_probs_of_the_shared_beginning_cancel(tokenizer, pairs, context):
    """Until the sides differ each action has one log-prob in both; the difference is that of what follows."""
    from halluc_plugin.edits import resolve
    from halluc_plugin.hard import score_actions

    model, vocab = new_model(tokenizer, Size.TINY, seed=0).eval(), vocab_of(tokenizer)
    collator = PairCollator(vocab, 0, ErasedTokens.KEEP)
    batch = collator([Example(row) for row in pairs])
    resolution = resolve(batch["response_ids"], batch["response_valid"], vocab)
    scores = score_actions(
        model, batch["prompt_ids"], batch["prompt_valid"], resolution, context=context, unknown_banned=False
    ).log_probs
    chosen, rejected = scores.split(len(pairs))
    for number, row in enumerate(pairs):
        assert row.shared >= 4
        torch.testing.assert_close(
            chosen[number, : row.shared], rejected[number, : row.shared], atol=1e-5, rtol=0
        )
    behind = counted_log_probs(model, batch, collator, context).sum(1).split(len(pairs))
    whole = chosen.sum(1) - rejected.sum(1)
    torch.testing.assert_close(behind[0] - behind[1], whole, atol=1e-4, rtol=0)


class TestReference:
    """The file of what the reference says."""

    def test_it_is_read_again_by_the_same_run(self, tokenizer, pair_file, tmp_path, monkeypatch):
        """A second start with the same reference and data computes nothing of the reference."""
        settings, asked = settings_of(Preference.KTO, steps=1), []
        trained(tokenizer, pair_file, settings, tmp_path / "out")
        kept = (tmp_path / "out" / "reference.parquet").read_bytes()
        read = SumReader.sums
        monkeypatch.setattr(
            SumReader, "sums", lambda *of, **how: asked.append(len(of[2])) or read(*of, **how)
        )
        trained(tokenizer, pair_file, settings, tmp_path / "out")
        assert asked == [4, 4]  # the held-out pairs, before and after
        assert (tmp_path / "out" / "reference.parquet").read_bytes() == kept

    @pytest.mark.parametrize("what", ["reference", "data"])
    def test_another_reference_or_other_data_are_seen(self, tokenizer, pairs, tmp_path, monkeypatch, what):
        """The file is written anew, but never under a run that has begun."""
        file, settings = tmp_path / "pairs.parquet", settings_of(Preference.DPO, steps=1)
        write_pairs(file, pairs, tokenizer)
        trained(tokenizer, file, settings, tmp_path / "out")
        before = (tmp_path / "out" / "reference.parquet").read_bytes()
        other = new_model(tokenizer, Size.TINY, seed=1) if what == "reference" else "start"
        if what == "data":
            write_pairs(file, [*pairs[1:], replace(pairs[0], rejected_ids=[1, 2])], tokenizer)
        monkeypatch.setattr(preferring, "last_checkpoint", lambda folder: "checkpoint-1")
        with pytest.raises(SettingsError, match=f"whose {what} were others"):
            trained(tokenizer, file, settings, tmp_path / "out", reference=other)
        monkeypatch.undo()
        trained(tokenizer, file, settings, tmp_path / "out", reference=other)
        assert (tmp_path / "out" / "reference.parquet").read_bytes() != before

    def test_a_loss_without_one_is_refused(self, tokenizer, pair_file, tmp_path):
        """The line names the option, and SimPO takes none."""
        with pytest.raises(SettingsError, match=r"dpo compares with a reference.*--reference MODEL"):
            trained(tokenizer, pair_file, settings_of(Preference.DPO), tmp_path / "out", reference=None)
        model = new_model(tokenizer, Size.TINY, seed=0)
        with pytest.raises(SettingsError, match="simpo has no reference"):
            trained(tokenizer, pair_file, settings_of(Preference.SIMPO), tmp_path / "out", reference=model)
        assert not (tmp_path / "out").exists()
