"""The first layers of a model as a model: what they compute, what they share, and what cannot be cut."""

import pytest
import torch

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.networks import decoder_shape, first_layers
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer


@pytest.fixture(scope="module")
def model():
    """Four layers with random weights."""
    return new_model(number_tokenizer(edit_tokens=()), Size.TINY, seed=0).eval()


@pytest.mark.parametrize("count", [1, 3])
def test_they_are_an_early_exit(model, count):
    """The logits are those of the model's own norm and head on the hidden state behind the layer."""
    ids = torch.tensor([[3, 4, 5, 6]])
    draft = first_layers(model, count)
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
        expected = model.lm_head(model.model.norm(states[count]))
        assert torch.equal(draft(ids).logits, expected)
    assert decoder_shape(draft.config).layers == count
    assert decoder_shape(model.config).layers == 4


def test_they_share_the_weights(model):
    """No weight is copied, and the model may be trained as before."""
    draft, own = first_layers(model, 2), model.state_dict()
    assert len(draft.state_dict()) < len(own)
    assert all(own[name].data_ptr() == weight.data_ptr() for name, weight in draft.state_dict().items())
    assert all(weight.requires_grad for weight in model.parameters())
    assert not any(weight.requires_grad for weight in draft.parameters())


@pytest.mark.parametrize("count", [0, 4, 5])
def test_none_and_all_are_refused(model, count):
    """A draft has at least a layer, and fewer than the model."""
    with pytest.raises(SettingsError, match="Give 1 to 3"):
        first_layers(model, count)
