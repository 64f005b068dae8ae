"""`halluc train` on pairs."""

import re

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli import train_preference
from halluc_plugin.cli.app import app
from halluc_plugin.losses.preference import Preference
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens.loading import save_tokenizer
from tests.training.preference_cases import pair_file, pairs, tokenizer

__all__ = ["pair_file", "pairs", "tokenizer"]  # fixtures


class TestCommand:
    """`halluc train` on pairs."""

    @pytest.fixture
    def folder(self, tokenizer, tmp_path):
        """The tiny model in a folder."""
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path / "model")
        save_tokenizer(tokenizer, tmp_path / "model")
        return tmp_path / "model"

    def run(self, *words):
        """The command's result."""
        return CliRunner().invoke(app, ["train", *map(str, words)])

    def test_it_trains_and_reports(self, folder, pair_file, tmp_path):
        """The model is saved, and the share of held-out pairs is printed before and after."""
        done = self.run(
            "--model", folder, "--data", pair_file, "--objective", "dpo", "--reference", folder, "--out",
            tmp_path / "out", "--steps", 12, "--batch-size", 8, "--learning-rate", 1e-3, "--held-out", 0.25,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        assert "Held out: 4 pairs" in done.stdout
        assert re.search(r"1.000 \[0.510, 1.000\] after training", done.stdout)
        assert (tmp_path / "out" / "config.json").exists()

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--objective", "dpo"), "dpo compares with a reference model, and none is given"),
            (("--objective", "simpo", "--reference", "x"), "simpo has no reference model"),
            (("--objective", "kto", "--beta", "0"), "beta is 0.0. Fix: Give a number above 0"),
            (("--objective", "dpo", "--margin", "1"), "which only simpo has"),
            (("--objective", "ipo", "--patience", "2"), "--patience means nothing with --objective ipo"),
            (("--objective", "dpo", "--trunk", "own"), "--trunk means nothing with --objective dpo"),
            (("--objective", "dpo", "--decision-share", "0.3"), "every token counts alike"),
            (("--beta", "1"), "--beta means nothing without a preference loss"),
            (("--imitation", "1"), "--imitation means nothing without a preference loss"),
            (("--objective", "simpo", "--imitation", "-1"), "weight of imitation is -1.0"),
            (("--objective", "value", "--reference", "x"), "--reference means nothing without a preference"),
        ],
    )
    def test_what_means_nothing_is_refused(self, folder, pair_file, tmp_path, words, told):
        """One line that names the option, before anything is written."""
        done = self.run("--model", folder, "--data", pair_file, "--out", tmp_path / "out", *words)
        assert told in str(done.exception)
        assert not (tmp_path / "out").exists()

    def test_a_reference_with_another_vocabulary_is_refused(self, folder, pair_file, tmp_path):
        """Before a model is loaded: the other folder has none."""
        save_tokenizer(number_tokenizer(), tmp_path / "other")
        done = self.run(
            "--model", folder, "--data", pair_file, "--out", tmp_path / "out", "--objective", "dpo",
            "--reference", tmp_path / "other",
        )  # fmt: skip
        assert "has another vocabulary" in str(done.exception)

    def test_the_list_of_losses_is_that_of_the_code(self):
        """What the command line takes for a preference loss is one, and all are."""
        assert list(train_preference.PREFERENCES) == [str(loss) for loss in Preference]
