"""The number-level tokenizer and the models that go with it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.model import Shape, Size, new_model
from halluc_plugin.scratch.tokenizer import EOS, PAD, number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers to 400 and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


def test_numbers_and_symbols_are_single_tokens(tokenizer):
    """A problem is one token a number; larger numbers are digits, other text is bytes."""
    words = tokenizer.convert_ids_to_tokens(tokenizer.encode("3 17 -> 400\n3*401=1203 é"))
    assert words == [
        *("3", " ", "17", " -> ", "400", "\n", "3", "*", "4", "0", "1", "=", "1", "2", "0", "3", " "),
        *("<0xC3>", "<0xA9>"),
    ]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text):
    """Encoding and decoding is the identity on every text without special tokens in it."""
    built = number_tokenizer()
    if PAD not in text and EOS not in text:
        assert built.decode(built.encode(text)) == text


def test_the_prompt_is_the_messages_text(tokenizer):
    """The chat template adds nothing, with or without a generation prompt."""
    messages = [{"role": "user", "content": "3 5 -> 8\n"}]
    for prompt in (False, True):
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=False)
        assert ids == tokenizer.encode("3 5 -> 8\n")


def test_digits_are_needed():
    """Without all digits larger numbers could not be written."""
    with pytest.raises(SettingsError, match="at least 9"):
        number_tokenizer(largest=8)


@pytest.mark.parametrize(("size", "millions"), [(Size.TINY, 0.94), (Size.SMALL, 2.8), (Size.MEDIUM, 16.1)])
def test_sizes_are_what_they_say(tokenizer, size, millions):
    """The number of parameters is the size's name, within a tenth."""
    model = new_model(tokenizer, size, seed=0)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)
    assert millions == pytest.approx(float(size.removesuffix("M")), rel=0.1)


def test_weights_depend_on_the_seed_alone(tokenizer):
    """The same seed gives the same weights, whatever was drawn before, and draws nothing from others."""
    torch.manual_seed(7)
    first = new_model(tokenizer, Size.TINY, seed=1).lm_head.weight
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))
    assert torch.equal(first, new_model(tokenizer, Size.TINY, seed=1).lm_head.weight)
    assert not torch.equal(first, new_model(tokenizer, Size.TINY, seed=2).lm_head.weight)


def test_both_come_back_by_the_auto_classes(tokenizer, tmp_path):
    """What verl, vLLM and lm-eval load by path is what was saved."""
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(tmp_path)
    save_tokenizer(tokenizer, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f"3*5=15{BACKTRACK_TOKEN}16\n"
    assert loaded.encode(text) == tokenizer.encode(text)
    assert loaded.chat_template == tokenizer.chat_template
    config = AutoModelForCausalLM.from_pretrained(tmp_path).config
    assert (config.eos_token_id, config.vocab_size) == (tokenizer.eos_token_id, len(tokenizer))


def test_a_shape_without_a_name():
    """A model has the sizes that it is asked for, named or not."""
    config = new_model(number_tokenizer(), Shape(16, 24, 3, 2), seed=0).config
    found = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    assert (*found, config.num_attention_heads, config.head_dim) == (16, 24, 3, 2, 8)
