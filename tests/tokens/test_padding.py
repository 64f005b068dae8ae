"""Numbers of rows that stay divisible: rows that no token has are never sampled, counted or saved wrong."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PhiConfig, Qwen3Config
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.decoding import Context, Decoding, Tabu, decode
from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN, add_edit_tokens, edit_vocab
from halluc_plugin.tokens.loading import load_generation_config, load_model, load_tokenizer, save_tokenizer
from halluc_plugin.tokens.tables import token_tables
from tests.tokens.written_tokenizers import byte_level, sentencepiece

SIZE = 704
"""11 times 64."""
TEXTS = ("cat cat\n\n漢字。 naïve", "a  cat 12<s>", "▁ <|BACKTRACK_STEP|> x")


def model_of(rows, *, tied=True, bias=False):
    """A random Qwen3, or a random Phi, whose output has a bias."""
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if bias:
        config = PhiConfig(vocab_size=rows, tie_word_embeddings=tied, **small)
    else:
        config = Qwen3Config(
            vocab_size=rows, tie_word_embeddings=tied, head_dim=8, num_key_value_heads=2, **small
        )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for table in token_tables(model):
            table.rows.normal_()
    return model


@pytest.mark.parametrize(
    ("tokens", "rows", "pad_to", "expected"),
    [
        (704, 704, None, 768),  # 64 divides 704, so it divides what follows 705
        (680, 680, None, 688),  # 8 is the largest power of two that divides 680
        (673, 673, None, 674),  # an odd number stays unpadded
        (704, 768, None, 768),  # room is left
        (704, 704, 1, 705),
        (704, 704, 100, 800),
        (704, 768, 512, 1024),  # asked for, though room is left
        (704, 768, 256, 768),
    ],
)
def test_rows_grow_to_a_multiple(tokens, rows, pad_to, expected):
    """The number of rows stays as divisible as it was, or gets the multiple that was asked for."""
    tokenizer, model = number_tokenizer(largest=tokens - 273), model_of(rows)
    assert len(tokenizer) == tokens
    added = add_edit_tokens(model, tokenizer, pad_to=pad_to)
    assert added.rows_after == expected == model.config.vocab_size
    assert added.padding == expected - tokens - 1
    assert {len(table.rows) for table in token_tables(model)} == {expected}


def test_a_model_with_the_token_is_padded_too():
    """Nothing is added, and the rows are made a multiple when one is asked for."""
    tokenizer, model = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)), model_of(674)
    assert add_edit_tokens(model, tokenizer).rows_after == 674
    assert add_edit_tokens(model, tokenizer, pad_to=64).rows_after == 704


def test_a_multiple_of_none_is_refused():
    """Zero is no multiple to pad to."""
    with pytest.raises(SettingsError, match="a multiple of 0"):
        add_edit_tokens(model_of(673), number_tokenizer(), pad_to=0)


@pytest.mark.parametrize(("tied", "bias"), [(True, False), (False, False), (False, True), (True, True)])
def test_padding_is_the_mean_of_the_tokens(tied, bias):
    """Every table, a bias included, has the mean of the rows of its tokens there; old rows stay."""
    tokenizer, model = number_tokenizer(largest=431), model_of(SIZE, tied=tied, bias=bias)
    before = {table.name: table.rows.detach().clone() for table in token_tables(model)}
    add_edit_tokens(model, tokenizer)
    assert len(before) == (1 if tied else 2) + bias
    for name, rows in before.items():
        after = model.get_parameter(name).detach()
        torch.testing.assert_close(after[:SIZE], rows, rtol=0, atol=0)
        torch.testing.assert_close(after[SIZE:], rows.mean(0).expand_as(after[SIZE:]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("context", list(Context))
def test_padding_is_never_sampled(context):
    """Padding a thousand times as likely as any token is not drawn, and log-probs are those without it."""
    tokenizer, model = number_tokenizer(largest=431), model_of(SIZE, tied=False, bias=True)
    add_edit_tokens(model, tokenizer)
    with torch.no_grad():
        model.lm_head.bias[SIZE + 1 :] = 60.0
    vocab = edit_vocab(tokenizer)
    torch.manual_seed(0)
    traces = decode(model, [[1, 2, 3]] * 8, Decoding(vocab, 20, context, tabu=Tabu.OFF, eos_ids=frozenset()))
    assert max(token for trace in traces for token in trace.ids) <= SIZE
    with torch.no_grad():
        first = model(torch.tensor([[1, 2, 3]])).logits[0, -1, : SIZE + 1].log_softmax(-1)
    for trace in traces:
        assert trace.logprobs[0] == pytest.approx(first[trace.ids[0]].item(), abs=1e-4)


@pytest.fixture(params=["byte-level", "sentencepiece"])
def written(request):
    """A tokenizer of each kind."""
    return (byte_level if request.param == "byte-level" else sentencepiece)(SIZE)


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_says_what_it_said(written, tied, tmp_path):
    """Through command and files, texts keep their ids, and ids their log-probs among the old tokens."""
    model = model_of(SIZE, tied=tied)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.6, top_p=0.9, eos_token_id=[1, 2]
    )
    model.save_pretrained(tmp_path / "old")
    save_tokenizer(written, tmp_path / "old")
    asked = ["add-token", "--model", tmp_path / "old", "--out", tmp_path / "new", "--step"]
    done = CliRunner().invoke(app, list(map(str, asked)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "704 before, 768 after, of which 62 stand for no token" in done.output
    tokenizer, loaded = load_tokenizer(str(tmp_path / "new")), load_model(str(tmp_path / "new")).eval()
    for text in TEXTS[:2]:
        ids = written.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == written.decode(ids)
        with torch.no_grad():
            old, new = (each(torch.tensor([ids])).logits[0, :, :SIZE] for each in (model, loaded))
        torch.testing.assert_close(new.log_softmax(-1), old.log_softmax(-1), rtol=1e-5, atol=1e-5)
    vocab = edit_vocab(tokenizer)
    assert vocab.unknown_ids(768) == list(range(SIZE + 2, 768))
    assert tokenizer.encode(TEXTS[2]).count(vocab.step) == 1
    assert STEP_TOKEN in tokenizer.decode(tokenizer.encode(TEXTS[2]), skip_special_tokens=True)
    kept = load_generation_config(str(tmp_path / "new"))
    assert (kept.do_sample, kept.temperature, kept.top_p, kept.eos_token_id) == (True, 0.6, 0.9, [1, 2])


@pytest.mark.parametrize(
    "turns",
    [
        [{"role": "user", "content": "a cat"}],
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": "漢"}],
    ],
    ids=["no system turn", "a system turn"],
)
def test_turns_keep_their_ids(written, turns):
    """The chat template is the old one: the same ids with a system turn and without."""
    before = written.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    add_edit_tokens(model_of(SIZE), written)
    assert written.apply_chat_template(turns, add_generation_prompt=True, return_dict=False) == before
    assert edit_vocab(written).backtrack not in before
