"""Signals of tokens against single passes, the EigenScore by hand, heads of two layers on planted states."""

import math

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import MetricError, SettingsError
from halluc_plugin.probes import LinearProbe
from halluc_plugin.probes.eigen_score import clip_features, eigen_score
from halluc_plugin.probes.token_signals import checked_layer, token_signals
from halluc_plugin.probes.two_layer import TwoLayerProbe, dead_share

BACK, STEP = 2, 3
VOCAB = EditVocab(backtrack=BACK, step=STEP, step_delimiters=frozenset({1}), size=11)


@pytest.fixture(scope="module")
def model():
    """A small model with sharp opinions, and a row more than there are tokens."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(40)
    return model


@torch.no_grad()
def test_signals_are_those_of_single_passes(model):
    """Entropy and margin where a token came and behind the last, edit and state behind it, in any batch."""
    texts = [((4, 5), (6, 1)), ((7,), (8, 9, 1)), ((4,), (1,))] * 2
    found = list(token_signals(model, texts, VOCAB, layer=1, batch_size=4))
    for (prompt, text), signals in zip(texts, found, strict=True):
        for t, token in enumerate(text):
            before = model(torch.tensor([[*prompt, *text[:t]]])).logits[0, -1]
            shares = before[[0, 1, 4, 5, 6, 7, 8, 9, 10]].softmax(-1)
            entropy = -float((shares * shares.log()).sum())
            assert float(signals.entropy[t]) == pytest.approx(entropy, abs=1e-4)
            top = shares.sort(descending=True).values
            assert float(signals.margin[t]) == pytest.approx(float(top[1] - top[0]), abs=1e-5)
            output = model(torch.tensor([[*prompt, *text[:t], token]]), output_hidden_states=True)
            behind = output.logits[0, -1, :11].softmax(-1)
            assert float(signals.edit[t]) == pytest.approx(float(behind[[BACK, STEP]].sum()), abs=1e-5)
            assert torch.allclose(signals.hidden[t], output.hidden_states[1][0, -1], atol=1e-4)
        last = output.logits[0, -1, [0, 1, 4, 5, 6, 7, 8, 9, 10]].softmax(-1)
        assert signals.next_entropy == pytest.approx(-float((last * last.log()).sum()), abs=1e-4)
        top = last.sort(descending=True).values
        assert signals.next_margin == pytest.approx(float(top[1] - top[0]), abs=1e-5)


def test_a_layer_that_is_not_there(model):
    """It says how many there are; 0 is the embeddings, and -1 the last one."""
    assert [checked_layer(model, layer) for layer in (0, 2, -1, -3)] == [0, 2, 2, 0]
    with pytest.raises(SettingsError, match="Layer 3 is not there: the model has 2 layers"):
        checked_layer(model, 3)


def test_eigen_score_by_hand():
    """Two answers that differ in one direction: a covariance [[1, -1], [-1, 1]] / 2, eigenvalues 1 and 0."""
    rows = torch.tensor([[0.5, -0.5], [-0.5, 0.5]])
    assert eigen_score(rows, alpha=0.1) == pytest.approx((math.log(1.1) + math.log(0.1)) / 2)
    same = torch.tensor([[7.5, 6.5], [7.5, 6.5]])  # the mean over features does not count
    assert eigen_score(same, alpha=0.1) == pytest.approx((math.log(1.1) + math.log(0.1)) / 2)
    other = torch.tensor([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
    assert eigen_score(other, alpha=0.1) == pytest.approx((math.log(2.1) + math.log(6.1)) / 2)


def test_one_answer_has_no_eigen_score():
    """It has nothing to differ from."""
    with pytest.raises(MetricError, match=r"compares answers, and there are 1\."):
        eigen_score(torch.zeros(1, 4))


def test_extreme_features_are_clipped():
    """At the quantiles of other states, feature by feature."""
    bank = torch.stack([torch.arange(101.0), -torch.arange(101.0)], 1)
    found = clip_features(torch.tensor([[1000.0, -1000.0], [50.0, -50.0]]), bank, share=0.1)
    assert found.tolist() == [[90.0, -90.0], [50.0, -50.0]]


def test_two_layers_tell_what_one_cannot():
    """Whether two features have one sign: held-out states are told apart by two layers, and not by one."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(400, 4, generator=generator)
    dead = (states[:, 0] * states[:, 1] > 0).tolist()

    def accuracy(head):
        scores = dead_share(head.state(), states[300:])
        assert scores.tolist() == pytest.approx(head.dead(states[300:]), abs=1e-6)
        return sum((s > 0.5) == d for s, d in zip(scores.tolist(), dead[300:], strict=True)) / 100

    assert accuracy(TwoLayerProbe(states[:300], dead[:300])) > 0.85
    assert accuracy(LinearProbe(states[:300], dead[:300])) < 0.7
