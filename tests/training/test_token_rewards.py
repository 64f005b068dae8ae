"""Token rewards of the reference in training on pairs."""

import math
from dataclasses import replace

import pytest
import torch

from halluc_plugin.data.pair_files import write_pairs
from halluc_plugin.data.parquet import read_rows
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.losses.preference import Preference, PreferenceSettings
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training.pairs import Example, PairCollator
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.reference_sums import SumReader, counted_log_probs
from tests.training.preference_cases import TRAIN, pair_file, pairs, settings_of, tokenizer, trained

__all__ = ["pair_file", "pairs", "tokenizer"]  # fixtures


class TestTokenRewards:
    """T-REG: the reference rewards tokens by two opposite prompts, and the rewards enter the loss."""

    @pytest.fixture
    def opposed(self, tokenizer, pairs):
        """The pairs with a 1 before the problem as the request for a better answer, a 2 for a worse one."""
        ahead = tokenizer.encode("1"), tokenizer.encode("2")
        return [
            replace(
                row, better_prompt_ids=ahead[0] + row.prompt_ids, worse_prompt_ids=ahead[1] + row.prompt_ids
            )
            for row in pairs
        ]

    def test_rewards_are_those_of_two_plain_passes(self, tokenizer, opposed):
        """σ(better - worse) - ½ of each counted token, from the model's own logits; 0 elsewhere."""
        model = new_model(tokenizer, Size.TINY, seed=0).eval()
        collator = PairCollator(vocab_of(tokenizer), 0, ErasedTokens.MASK)
        examples = [Example(row) for row in opposed[:3]]
        found = SumReader(collator, Context.SOFT, bf16=False, batch_size=2).rewards(model, examples)
        for each, of in zip(examples, found, strict=True):
            counted = collator([each])["counted"]
            for side, (trace, rewards) in enumerate(zip(each.pair.sides, of, strict=True)):
                better, worse = (
                    self._log_probs(model, prompt, trace.response_ids)
                    for prompt in (each.pair.better_prompt_ids, each.pair.worse_prompt_ids)
                )
                want = (torch.sigmoid(better - worse) - 0.5) * counted[side, : len(trace.response_ids)]
                torch.testing.assert_close(torch.tensor(rewards), want, atol=1e-5, rtol=0)
        assert any(value for of in found for side in of for value in side)

    def _log_probs(self, model, prompt, response):
        ids = torch.tensor([prompt + response])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        return logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1)

    def test_the_first_loss_has_the_regulariser(self, tokenizer, opposed, tmp_path):
        """Where policy and reference agree it is log 2 - α β / 2 Σ r̂ log π of both sides, over the pairs."""
        write_pairs(tmp_path / "pairs.parquet", opposed, tokenizer)
        settings = PreferSettings(
            PreferenceSettings(beta=0.5),
            replace(TRAIN, steps=1, batch_size=16),
            held_out=0,
            token_rewards=0.25,
        )
        done = trained(tokenizer, tmp_path / "pairs.parquet", settings, tmp_path / "out")
        model = new_model(tokenizer, Size.TINY, seed=0).eval()
        collator = PairCollator(vocab_of(tokenizer), 0, ErasedTokens.MASK)
        examples = [Example(row) for row in opposed]
        paid = SumReader(collator, Context.SOFT, bf16=False, batch_size=16).rewards(model, examples)
        examples = [replace(each, rewards=of) for each, of in zip(examples, paid, strict=True)]
        batch = collator(examples)
        with torch.no_grad():
            log_probs = counted_log_probs(model, batch, collator, Context.SOFT)
        good = (log_probs * batch["token_rewards"]).sum().item() / len(opposed)
        assert abs(good) > 1e-3
        assert done.loss == pytest.approx(math.log(2) - 0.25 * 0.5 * 0.5 * good, abs=1e-5)

    def test_a_start_with_rewards_does_not_read_a_file_without(self, tokenizer, opposed, tmp_path):
        """The digest of the data says whether tokens are rewarded."""
        write_pairs(tmp_path / "pairs.parquet", opposed, tokenizer)
        plain = settings_of(Preference.DPO, steps=1)
        trained(tokenizer, tmp_path / "pairs.parquet", plain, tmp_path / "out")
        trained(tokenizer, tmp_path / "pairs.parquet", replace(plain, token_rewards=0.1), tmp_path / "out")
        columns = read_rows(tmp_path / "out" / "reference.parquet", ("chosen", "chosen_rewards"))
        assert len(columns) == 12

    def test_what_cannot_be_rewarded_is_refused(self, tokenizer, pair_file, tmp_path):
        """Pairs without opposite prompts, another loss than DPO, and a weight that is not positive."""
        asked = replace(settings_of(Preference.DPO), token_rewards=0.25)
        with pytest.raises(DataError, match="no opposite prompts"):
            trained(tokenizer, pair_file, asked, tmp_path / "out")
        for loss, alpha in ((Preference.IPO, 0.25), (Preference.DPO, 0.0)):
            with pytest.raises(SettingsError, match="weight above 0"):
                PreferSettings(PreferenceSettings(loss), token_rewards=alpha)
