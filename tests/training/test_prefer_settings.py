"""Settings of training on pairs that are refused before a model is loaded."""

import pytest

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.prefer_settings import PreferSettings, check_same_vocabulary
from tests.training.preference_cases import B, tokenizer

__all__ = ["tokenizer"]  # fixtures


def test_shares_of_the_loss_are_refused():
    """A sum of log-probs has no shares."""
    for train in (
        TrainSettings(shares=LossShares(decisions=0.3)),
        TrainSettings(shares=LossShares(erased=0.1), erased_tokens=ErasedTokens.WEIGHT),
    ):
        with pytest.raises(SettingsError, match="every token counts alike"):
            PreferSettings(train=train)
    with pytest.raises(SettingsError, match="held_out is 1"):
        PreferSettings(held_out=1)


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan")])
def test_a_weight_of_imitation_is_at_least_0(weight):
    """A negative one would teach the rejected sides."""
    with pytest.raises(SettingsError, match=f"weight of imitation is {weight}"):
        PreferSettings(imitation=weight)


def test_a_reference_with_another_vocabulary_is_refused(tokenizer):
    """The line names the first token that differs, and how to add it."""
    check_same_vocabulary(tokenizer, number_tokenizer(edit_tokens=(B,)), "same")
    with pytest.raises(TokenizerError, match=r"'plain' has another vocabulary.*BACKTRACK.*add-token"):
        check_same_vocabulary(tokenizer, number_tokenizer(), "plain")
