"""Numbers of parameters, and what is refused of a model."""

import pytest
import torch
from transformers import MixtralConfig

from halluc_plugin.errors import SettingsError
from halluc_plugin.planning import ModelShape, read_shape
from halluc_plugin.planning.live_bytes import Attending
from tests.planning.measured_step import small_config


def test_parameters_of_a_7b_model(qwen_7b):
    """They are counted from the config alone, and are those that Qwen2.5-7B is published with."""
    shape = ModelShape.of(qwen_7b)
    assert shape.parameters == 7_615_616_512
    # q and o, k and v, three of the feed-forward, two norms, biases of q, k and v
    wide, narrow, inner = 3584, 512, 18944
    assert (
        shape.of_a_layer
        == 2 * wide * wide + 2 * wide * narrow + 3 * wide * inner + 2 * wide + wide + 2 * narrow
    )
    assert shape.head == shape.largest == 152064 * 3584
    assert not shape.tied


def test_tied_weights_count_once(qwen_1_5b):
    """A head that is the embedding adds nothing: Qwen2.5-1.5B has 1 543 714 304."""
    shape = ModelShape.of(qwen_1_5b)
    assert shape.tied
    assert shape.parameters == 1_543_714_304


def test_low_rank_updates_of_every_linear_layer():
    """Each of seven linear layers of a layer gets two factors."""
    shape = ModelShape.of(small_config(rows=100, hidden=64, layers=1))
    q, k, v, o, up, gate, down = (64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64)
    assert shape.low_rank(4) == 4 * sum(map(sum, (q, k, v, o, up, gate, down)))


def test_layers_keep_linearly_many_bytes():
    """Twice as many tokens keep twice as much, as attention's kernels keep nothing of pairs."""
    shape = ModelShape.of(small_config(rows=100, hidden=64, layers=2))
    once, twice = (shape.layer_bytes(tokens, torch.float32, Attending.FUSED).kept for tokens in (512, 1024))
    assert twice == pytest.approx(2 * once, rel=0.01)


@pytest.mark.parametrize("name", ["no-such-model", "nobody/no-such-model", "/no/such/folder"])
def test_a_model_that_is_not_there(name, tmp_path, monkeypatch):
    """One line names what was looked for and how to get it; nothing is downloaded."""
    with pytest.raises(SettingsError, match="There is no model") as error:
        read_shape(name)
    assert "hf download" in error.value.fix
    assert "\n" not in str(error.value)


def test_a_folder_with_a_damaged_config(tmp_path):
    """It is not said to be absent."""
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(SettingsError, match="No config can be loaded"):
        read_shape(str(tmp_path))


def test_what_depends_on_numbers_is_refused():
    """A mixture of experts sends tokens by numbers, which shapes do not tell."""
    config = MixtralConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=4,
    )  # fmt: skip
    with pytest.raises(SettingsError, match="depends on numbers"):
        ModelShape.of(config).layer_bytes(128, torch.float32, Attending.FUSED)
