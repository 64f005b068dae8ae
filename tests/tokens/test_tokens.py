"""Edit tokens: found or refused in a tokenizer, added to a model with the rows they are said to get."""

import itertools

import pytest
import torch
from tokenizers import AddedToken
from transformers import Qwen2Config, Qwen2ForCausalLM
from typer.testing import CliRunner

from halluc_plugin.checks import CheckStatus
from halluc_plugin.cli.app import app
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import (
    BACKTRACK_TOKEN,
    EDIT_TOKENS,
    RESTART_TOKEN,
    STEP_TOKEN,
    Initialisation,
    add_edit_tokens,
    edit_vocab,
    inspect_tokenizer,
)
from halluc_plugin.tokens.initialisation import ANCHORS, DESCRIPTIONS, initial_rows
from halluc_plugin.tokens.loading import load_tokenizer, save_tokenizer

OK, WARN, FAIL, ABSENT = CheckStatus


@pytest.fixture
def tokenizer():
    """A tokenizer without edit tokens; its text is bytes and numbers."""
    return number_tokenizer()


def model_for(tokenizer, *, tied=True, spare=0):
    """A random model with so many spare rows."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + spare, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=tied,
    )  # fmt: skip
    return Qwen2ForCausalLM(config)


class TestEditVocab:
    """From a tokenizer to an EditVocab."""

    def test_finds_what_is_there(self, tokenizer):
        """All edit tokens are found by their text, and newlines end steps."""
        tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in EDIT_TOKENS])
        ids = [tokenizer.get_vocab()[t] for t in EDIT_TOKENS]
        newlines = {tokenizer.get_vocab()["\n"], tokenizer.get_vocab()["<0x0A>"]}
        found = edit_vocab(tokenizer)
        assert (found.backtrack, found.step, found.restart) == tuple(ids)
        assert tokenizer.get_vocab()["\n"] in found.step_delimiters <= newlines

    def test_one_token_is_enough(self, tokenizer):
        """With the backtrack token alone there are no delimiters."""
        tokenizer.add_tokens([AddedToken(BACKTRACK_TOKEN, special=False, normalized=False)])
        assert edit_vocab(tokenizer) == EditVocab(backtrack=len(tokenizer) - 1)

    def test_a_missing_token_is_refused(self, tokenizer):
        """The message names the command that adds it."""
        with pytest.raises(TokenizerError, match=r"no token <\|BACKTRACK\|>.*halluc add-token"):
            edit_vocab(tokenizer)

    @pytest.mark.parametrize("token", [BACKTRACK_TOKEN, STEP_TOKEN, RESTART_TOKEN])
    def test_a_special_token_is_refused(self, tokenizer, token):
        """A special token would vanish when its text is decoded."""
        tokenizer.add_tokens(
            [AddedToken(BACKTRACK_TOKEN, special=token == BACKTRACK_TOKEN, normalized=False)]
        )
        tokenizer.add_tokens([AddedToken(token, special=True, normalized=False)])
        with pytest.raises(TokenizerError, match="special token: decoding drops it"):
            edit_vocab(tokenizer)

    def test_special_without_being_listed_as_special_is_refused(self, tokenizer):
        """``add_tokens(special_tokens=True)`` lists it in no all_special_ids, and decoding still drops it."""
        tokenizer.add_tokens([BACKTRACK_TOKEN], special_tokens=True)
        assert tokenizer.get_vocab()[BACKTRACK_TOKEN] not in tokenizer.all_special_ids
        with pytest.raises(TokenizerError, match="special token"):
            edit_vocab(tokenizer)


class TestInspection:
    """What the doctor says of a model."""

    def inspect(self, tokenizer, **config):
        """Status by name."""
        described = model_for(tokenizer, **config).config
        return {check.name: check for check in inspect_tokenizer(tokenizer, described)}

    def test_a_ready_model(self, tokenizer):
        """Every line is green, and the optional tokens are grey."""
        tokenizer.add_tokens([AddedToken(BACKTRACK_TOKEN, special=False, normalized=False)])
        found = self.inspect(tokenizer)
        assert {name: check.status for name, check in found.items()} == {
            BACKTRACK_TOKEN: OK,
            STEP_TOKEN: ABSENT,
            RESTART_TOKEN: ABSENT,
            "embedding rows": OK,
            "embeddings": OK,
        }
        assert found["embeddings"].detail == "shared by input and output"

    def test_too_few_rows_are_red(self, tokenizer):
        """A token without a row in the embeddings is named, with the command that mends it."""
        config = model_for(tokenizer).config
        tokenizer.add_tokens([AddedToken(BACKTRACK_TOKEN, special=False, normalized=False)])
        rows = {check.name: check for check in inspect_tokenizer(tokenizer, config)}["embedding rows"]
        assert rows.status is FAIL
        assert "halluc add-token" in rows.fix

    def test_faults_of_tokens_are_red(self, tokenizer):
        """A missing and a special token are red lines, not exceptions."""
        assert self.inspect(tokenizer)[BACKTRACK_TOKEN].status is FAIL
        tokenizer.add_tokens([BACKTRACK_TOKEN], special_tokens=True)
        assert self.inspect(tokenizer)[BACKTRACK_TOKEN].status is FAIL

    def test_delimiters_are_shown(self, tokenizer):
        """With a step backtrack token the ids that end a step are listed."""
        tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in EDIT_TOKENS])
        assert r"'\n'" in self.inspect(tokenizer)["step delimiters"].detail


class TestAddition:
    """Adding tokens to a model."""

    @pytest.mark.parametrize("tied", [True, False])
    def test_mean_rows(self, tokenizer, tied):
        """The new row is the mean of the old rows, in input and output, and nothing else changes."""
        model, old = model_for(tokenizer, tied=tied), len(tokenizer)
        weights = [model.get_input_embeddings().weight, model.get_output_embeddings().weight]
        means = [weight.detach().mean(0).clone() for weight in weights]
        before = weights[0].detach().clone()
        added = add_edit_tokens(model, tokenizer)
        assert added.ids == {BACKTRACK_TOKEN: old}
        assert (added.rows_before, added.rows_after) == (old, old + 1)
        torch.testing.assert_close(model.get_input_embeddings().weight[old], means[0])
        torch.testing.assert_close(model.get_output_embeddings().weight[old], means[1])
        assert torch.equal(model.get_input_embeddings().weight[:old], before)
        assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
        assert edit_vocab(tokenizer).backtrack == old

    def test_spare_rows_are_used(self, tokenizer):
        """A model with room is not resized, and its padding rows do not count into the mean."""
        model, old = model_for(tokenizer, spare=64), len(tokenizer)
        mean = model.get_input_embeddings().weight[:old].detach().mean(0)
        added = add_edit_tokens(model, tokenizer, EDIT_TOKENS)
        assert added.rows_after == added.rows_before == old + 64
        for token_id in added.ids.values():
            torch.testing.assert_close(model.get_input_embeddings().weight[token_id], mean)

    def test_averages_of_pieces(self, tokenizer):
        """``subtokens`` averages the pieces of the token's text, ``semantic`` the anchors, word by word."""
        model = model_for(tokenizer)
        weight = model.get_input_embeddings().weight.detach()
        (row,) = initial_rows(model, tokenizer, BACKTRACK_TOKEN, Initialisation.SUBTOKENS).values()  # tied
        pieces = tokenizer.encode(BACKTRACK_TOKEN, add_special_tokens=False)
        assert len(pieces) == len(BACKTRACK_TOKEN)
        torch.testing.assert_close(row, weight[pieces].mean(0))
        (row,) = initial_rows(model, tokenizer, BACKTRACK_TOKEN, Initialisation.SEMANTIC).values()
        pieces = [tokenizer.encode(f" {word}", add_special_tokens=False) for word in ANCHORS[BACKTRACK_TOKEN]]
        words = [weight[ids].mean(0) for ids in pieces]
        torch.testing.assert_close(row, torch.stack(words).mean(0))

    def test_random_rows_have_the_deviation_of_the_others(self, tokenizer):
        """Entries of 3 and -3 alone have deviation 3; a seed gives one row a token, another gives others."""
        model = model_for(tokenizer, tied=False)
        with torch.no_grad():
            model.get_input_embeddings().weight.copy_(
                3.0 - 6.0 * (torch.arange(16 * len(tokenizer)) % 2).reshape(-1, 16)
            )
        before = torch.random.get_rng_state()

        def drawn(token, seed):
            rows = initial_rows(model, tokenizer, token, Initialisation.RANDOM, seed=seed)
            return rows["model.embed_tokens.weight"]

        many = torch.stack([drawn(token, seed) for token in EDIT_TOKENS for seed in range(200)])
        assert many.std().item() == pytest.approx(3.0, rel=0.03)
        assert many.mean().item() == pytest.approx(0.0, abs=0.1)
        assert len(many.unique(dim=0)) == len(many)
        assert torch.equal(drawn(STEP_TOKEN, 7), drawn(STEP_TOKEN, 7))
        assert torch.equal(before, torch.random.get_rng_state())

    @pytest.mark.parametrize("how", [Initialisation.SEMANTIC, Initialisation.DESCRIPTION])
    def test_each_token_starts_with_its_own_meaning(self, tokenizer, how):
        """A step, or everything, is something else than a token: no two rows are alike."""
        model = model_for(tokenizer)
        rows = [row for token in EDIT_TOKENS for row in initial_rows(model, tokenizer, token, how).values()]
        assert all(not torch.allclose(a, b) for a, b in itertools.combinations(rows, 2))

    def test_description_is_a_hidden_state(self, tokenizer):
        """``description`` points where the model's last hidden state does, at the rows' mean norm."""
        model = model_for(tokenizer, tied=False).eval()
        rows = initial_rows(model, tokenizer, BACKTRACK_TOKEN, Initialisation.DESCRIPTION)
        ids = torch.tensor([tokenizer.encode(DESCRIPTIONS[BACKTRACK_TOKEN], add_special_tokens=False)])
        with torch.no_grad():
            hidden = model(ids, output_hidden_states=True).hidden_states[-1][0, -1]
        for row, weight in zip(rows.values(), (model.get_input_embeddings(), model.lm_head), strict=True):
            assert torch.cosine_similarity(row, hidden, dim=0) == pytest.approx(1, abs=1e-5)
            assert row.norm().item() == pytest.approx(weight.weight.norm(dim=1).mean().item(), rel=1e-5)

    def test_a_second_time_changes_nothing(self, tokenizer):
        """Tokens that are there keep their rows."""
        model = model_for(tokenizer)
        first = add_edit_tokens(model, tokenizer)
        before = model.get_input_embeddings().weight.detach().clone()
        again = add_edit_tokens(model, tokenizer, how=Initialisation.SEMANTIC)
        assert (again.ids, again.new) == (first.ids, ())
        assert torch.equal(model.get_input_embeddings().weight, before)

    def test_refuses_what_gets_lost(self, tokenizer):
        """A special token cannot be made ordinary behind the user's back; other tokens are not ours."""
        with pytest.raises(SettingsError, match="no edit token"):
            add_edit_tokens(model_for(tokenizer), tokenizer, ["<undo>"])
        tokenizer.add_tokens([BACKTRACK_TOKEN], special_tokens=True)
        with pytest.raises(TokenizerError, match="special token"):
            add_edit_tokens(model_for(tokenizer), tokenizer)


def test_a_tokenizer_that_comes_back_different_is_refused(tokenizer, tmp_path):
    """Any tokenizer beside a qwen2 model is loaded as Qwen's; saving notices."""
    model_for(tokenizer).config.save_pretrained(tmp_path)
    with pytest.raises(TokenizerError, match="with other ids"):
        save_tokenizer(tokenizer, tmp_path)


class TestCommand:
    """`halluc add-token`."""

    def run(self, *arguments):
        """Run the command."""
        return CliRunner().invoke(app, ["add-token", *map(str, arguments)], catch_exceptions=True)

    @pytest.fixture
    def source(self, tokenizer, tmp_path):
        """A saved model without edit tokens."""
        folder = tmp_path / "model"
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        return folder

    def test_writes_a_ready_model(self, source, tmp_path, tokenizer):
        """Model and tokenizer are saved together, with every token asked for."""
        done = self.run("--model", source, "--out", tmp_path / "out", "--init", "subtokens", "--step")
        assert done.exit_code == 0, done.output
        assert f"id {len(tokenizer)}" in done.output
        found = edit_vocab(load_tokenizer(str(tmp_path / "out")))
        assert (found.backtrack, found.step) == (len(tokenizer), len(tokenizer) + 1)

    def test_bad_input(self, tmp_path):
        """One message, and nothing is written."""
        done = self.run("--model", "/absent/model", "--out", tmp_path / "out")
        assert "No tokenizer" in str(done.exception)
        assert not (tmp_path / "out").exists()

    def test_a_place_that_cannot_be_written_to_is_refused_before_a_model_is_loaded(self, tmp_path):
        """It is looked at first."""
        (tmp_path / "file").touch()
        done = self.run("--model", "/absent/model", "--out", tmp_path / "file" / "out")
        assert "No files can be written" in str(done.exception)

    def test_never_writes_over_files(self, source):
        """An occupied folder is refused."""
        assert "not an empty folder" in str(self.run("--model", source, "--out", source).exception)
