"""Before a run, what is read of a short row is compared with the model's own logits."""

import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import check_reading
from tests.hard.conftest import FAMILIES, VOCAB, model_of


@pytest.mark.parametrize("context", list(Context))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_passes(family, context):
    """In both contexts, and the model is in the mode in which it was."""
    model = model_of(family).train()
    check_reading(model, VOCAB, context)
    assert model.training
    check_reading(model.eval(), EditVocab(backtrack=99), context)  # which the model does not have yet
    assert not model.training


def test_half_precision_passes():
    """Rounding is no mismatch."""
    check_reading(model_of("llama"), VOCAB, Context.HARD, autocast=torch.bfloat16)
    check_reading(model_of("llama").bfloat16(), VOCAB, Context.HARD)


@pytest.fixture
def ignoring(monkeypatch):
    """A model whose attention takes no notice of masks."""

    def attend(module, query, key, value, attention_mask, **options):
        return sdpa_attention_forward(module, query, key, value, None, **options)

    monkeypatch.setitem(AttentionInterface._global_mapping, "halluc_packed_sdpa", attend)
    return model_of("qwen3")


def test_attention_that_ignores_the_mask_is_refused(ignoring):
    """With the size of the difference, and what to do."""
    with pytest.raises(SettingsError, match=r"differ by .* nats") as told:
        check_reading(ignoring, VOCAB, Context.HARD)
    assert "attn_implementation=eager" in str(told.value)


def test_what_half_precision_hides_is_seen_by_what_was_erased(ignoring, monkeypatch):
    """However large the tolerance, a token that was taken back must change nothing."""
    from halluc_plugin.hard import check

    monkeypatch.setattr(check, "TOLERANCE_IN_HALF", 100.0)
    with pytest.raises(SettingsError, match="taken back changes later log-probs"):
        check_reading(ignoring, VOCAB, Context.HARD, autocast=torch.bfloat16)


def test_a_head_that_is_not_what_it_seems_is_refused():
    """A head whose output depends on how many positions it sees at once."""
    model = model_of("qwen3")
    model.lm_head.register_forward_hook(lambda module, inputs, logits: logits * logits.shape[1])
    with pytest.raises(SettingsError, match="own logits"):
        check_reading(model, VOCAB, Context.SOFT)


def test_positions_that_are_ignored_are_refused(monkeypatch):
    """Rotary positions that count the sequence instead of what they are given."""
    model = model_of("llama")
    rotary = model.model.rotary_emb.forward

    def counting(x, position_ids):
        return rotary(x, torch.arange(position_ids.shape[1])[None])

    monkeypatch.setattr(model.model.rotary_emb, "forward", counting)
    with pytest.raises(SettingsError, match="the positions"):
        check_reading(model, VOCAB, Context.HARD)
