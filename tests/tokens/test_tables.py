"""Every parameter with a row for each token gets one for the new token, in models of many kinds."""

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    CodeGenConfig,
    Gemma3nTextConfig,
    GPT2Config,
    GPTJConfig,
    OPTConfig,
    PhiConfig,
    Qwen2Config,
)
from typer.testing import CliRunner

from halluc_plugin.checks import CheckStatus
from halluc_plugin.cli.app import app
from halluc_plugin.doctor.model import checks
from halluc_plugin.errors import TokenizerError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, EDIT_TOKENS, Initialisation, add_edit_tokens
from halluc_plugin.tokens.initialisation import ANCHORS
from halluc_plugin.tokens.inspection import inspect_tokenizer
from halluc_plugin.tokens.loading import load_model, load_tokenizer, save_tokenizer
from halluc_plugin.tokens.tables import Side, token_tables

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
NAMED = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}


@pytest.fixture
def tokenizer():
    """A tokenizer without edit tokens."""
    return number_tokenizer()


def phi(rows, *, tied=False):
    """A Phi, whose output has a bias."""
    return PhiConfig(vocab_size=rows, intermediate_size=16, tie_word_embeddings=tied, **SMALL)


KINDS = {
    "phi": phi,
    "phi, tied": lambda rows: phi(rows, tied=True),
    "gptj": lambda rows: GPTJConfig(vocab_size=rows, rotary_dim=4, **NAMED),
    "codegen": lambda rows: CodeGenConfig(vocab_size=rows, rotary_dim=4, **(NAMED | {"n_head": 4})),
    "bert": lambda rows: BertConfig(vocab_size=rows, intermediate_size=16, is_decoder=True, **SMALL),
    "gpt2": lambda rows: GPT2Config(vocab_size=rows, **NAMED),
    "qwen2": lambda rows: Qwen2Config(
        vocab_size=rows, intermediate_size=16, num_key_value_heads=1, tie_word_embeddings=False, **SMALL
    ),
    "opt": lambda rows: OPTConfig(
        vocab_size=rows, ffn_dim=16, word_embed_proj_dim=8, max_position_embeddings=64, **SMALL
    ),
}


def model_of(kind, rows):
    """A random model with random biases."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(KINDS[kind](rows)).eval()
    with torch.no_grad():
        for table in token_tables(model):
            table.rows.normal_(std=2.0)
    return model


@pytest.mark.parametrize("spare", [0, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_the_new_token_says_the_mean_of_what_the_others_say(tokenizer, kind, spare):
    """Output rows and biases are linear: behind any text the mean token's logit is the mean logit."""
    known = len(tokenizer)
    model = model_of(kind, known + spare)
    with torch.no_grad():
        for table in token_tables(model):
            table.rows[known:] = -30.0  # what is spare in published models, whose tokens must not be sampled
    added = add_edit_tokens(model, tokenizer, EDIT_TOKENS)
    ids = torch.tensor([tokenizer.encode("3 5 -> 8\n")])
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
    assert len(added.new) == 3
    for token_id in added.ids.values():
        torch.testing.assert_close(
            logits[:, token_id], logits[:, :known].mean(-1), atol=2e-4, rtol=1e-4, msg=kind
        )


class TestCommand:
    """`halluc add-token` on a Phi."""

    def added(self, tokenizer, tmp_path, biases, *how):
        """Save a Phi with these biases, run the command, and return the loaded model and the id."""
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(phi(len(biases)))
        with torch.no_grad():
            model.lm_head.bias.copy_(biases)
        model.save_pretrained(tmp_path / "model")
        save_tokenizer(tokenizer, tmp_path / "model")
        out = tmp_path / "out"
        asked = ["add-token", "--model", tmp_path / "model", "--out", out, *how]
        done = CliRunner().invoke(app, list(map(str, asked)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        loaded = load_model(str(out)).eval()
        return loaded, load_tokenizer(str(out)).get_vocab()[BACKTRACK_TOKEN]

    @pytest.mark.parametrize("init", list(Initialisation))
    def test_a_resized_bias_is_mixed_as_the_rows_are(self, tokenizer, tmp_path, init):
        """Bias i is i / 100: the mean, the mean of the pieces, or that of the anchors' means, by hand."""
        known = len(tokenizer)
        biases = torch.arange(known) / 100
        if init is Initialisation.SUBTOKENS:
            pieces = tokenizer.encode(BACKTRACK_TOKEN, add_special_tokens=False)
            expected = sum(pieces) / len(pieces) / 100
        elif init is Initialisation.SEMANTIC:
            words = [tokenizer.encode(f" {word}") for word in ANCHORS[BACKTRACK_TOKEN]]
            expected = sum(sum(ids) / len(ids) for ids in words) / len(words) / 100
        else:
            expected = (known - 1) / 2 / 100
        model, token_id = self.added(tokenizer, tmp_path, biases, "--init", init)
        assert token_id == known
        assert model.lm_head.bias[token_id].item() == pytest.approx(expected, rel=1e-5)
        torch.testing.assert_close(model.lm_head.bias[:known].detach(), biases)

    def test_biases_of_minus_three_stay_level(self, tokenizer, tmp_path):
        """A new token's bias is -3 like all others, not 0, which would make it twenty times as likely."""
        model, token_id = self.added(tokenizer, tmp_path, torch.full((len(tokenizer),), -3.0))
        assert model.lm_head.bias[token_id].item() == pytest.approx(-3)

    def test_a_spare_row_can_be_said(self, tokenizer, tmp_path):
        """Its bias of -30 is replaced too: the token is about as likely as any other."""
        known = len(tokenizer)
        biases = torch.cat([torch.zeros(known), torch.full((16,), -30.0)])
        model, token_id = self.added(tokenizer, tmp_path, biases)
        with torch.no_grad():
            said = model(input_ids=torch.tensor([[5, 6, 7]])).logits[0, -1].log_softmax(-1)
        assert said[token_id].item() == pytest.approx(-torch.tensor(float(known)).log().item(), abs=0.5)
        assert model.lm_head.bias[known + 1 :].tolist() == [-30.0] * 15


@pytest.mark.parametrize(("bias", "status"), [(-30.0, CheckStatus.WARN), (-1.0, CheckStatus.OK)])
def test_the_doctor_sees_a_token_that_can_never_be_said(tmp_path, bias, status):
    """A token that something else put into a spare row has that row's bias of -30, and nobody samples it."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    model = AutoModelForCausalLM.from_config(phi(len(tokenizer) + 8))
    with torch.no_grad():
        model.lm_head.bias.zero_()
        model.lm_head.bias[len(tokenizer) - 1 :] = bias
    model.save_pretrained(tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    line = next(check for check in checks(str(tmp_path)) if check.name == "output bias")
    assert line.status is status
    assert ("<|BACKTRACK|> has -30, all others at least 0" in line.detail) == (status is CheckStatus.WARN)


def gemma(rows, per_layer):
    """A small Gemma 3n, whose layers read embeddings of their own."""
    torch.manual_seed(0)
    config = Gemma3nTextConfig(
        vocab_size=rows, vocab_size_per_layer_input=per_layer, hidden_size_per_layer_input=4,
        num_key_value_heads=1, head_dim=8, intermediate_size=16, num_kv_shared_layers=0, laurel_rank=4,
        activation_sparsity_pattern=[0.0, 0.0], layer_types=["sliding_attention", "full_attention"],
        **(SMALL | {"num_hidden_layers": 2}),
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("spare", [(0, 0), (4, 4), (4, 0)])
def test_embeddings_of_single_layers(tokenizer, spare):
    """They grow where they have no row, also where the input has one to spare; the row is the mean row."""
    known = len(tokenizer)
    model = gemma(known + spare[0], known + spare[1])
    per_layer = model.model.embed_tokens_per_layer
    mean = per_layer.weight[:known].detach().mean(0)
    lines = inspect_tokenizer(number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), model.config)
    rows = next(check for check in lines if check.name == "embedding rows")
    assert (rows.status is CheckStatus.FAIL) == (spare[1] == 0)
    new = add_edit_tokens(model, tokenizer).ids[BACKTRACK_TOKEN]
    torch.testing.assert_close(model.model.embed_tokens_per_layer.weight[new], mean)
    assert model.config.vocab_size_per_layer_input > new
    with torch.no_grad():
        assert model(input_ids=torch.tensor([[1, new, 2]])).logits.isfinite().all()


def with_head(rows):
    """A model that says a second token ahead, by a head of its own."""
    model = model_of("qwen2", rows)
    model.add_module("mtp_head", torch.nn.Linear(16, rows))
    return model


def test_further_heads(tokenizer):
    """A head for the token after next gets its row and bias; where it cannot grow, the model is refused."""
    known = len(tokenizer)
    model = with_head(known + 4)
    sides = {table.name: table.side for table in token_tables(model)}
    assert (sides["mtp_head.weight"], sides["mtp_head.bias"]) == (Side.OUTPUT, Side.OUTPUT)
    expected = model.mtp_head.weight[:known].mean(0), model.mtp_head.bias[:known].mean()
    new = add_edit_tokens(model, tokenizer).ids[BACKTRACK_TOKEN]
    torch.testing.assert_close(model.mtp_head.weight[new], expected[0])
    torch.testing.assert_close(model.mtp_head.bias[new], expected[1])
    with pytest.raises(TokenizerError, match=r"does not resize mtp_head\.weight, mtp_head\.bias"):
        add_edit_tokens(with_head(known), number_tokenizer())
