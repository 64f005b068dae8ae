"""Signals of finished steps against passes of one place each, and the linear probe on planted states."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from halluc_plugin.errors import MetricError
from halluc_plugin.probes import FinishedStep, LinearProbe, step_signals


def test_signals_are_those_of_single_passes():
    """Mean surprise and entropy over a step's own tokens, and the state at its last, whatever the batch."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    places = [FinishedStep((4, 5), (6, 1)), FinishedStep((7,), (8, 9, 1)), FinishedStep((4,), (1,))] * 3
    found = step_signals(model, places, batch_size=2)
    for number, place in enumerate(places):
        ids = torch.tensor([[*place.context, *place.step]])
        with torch.no_grad():
            output = model(ids, output_hidden_states=True)
        scores = output.logits[0].log_softmax(-1)[len(place.context) - 1 : -1]
        taken = [float(scores[i, token]) for i, token in enumerate(place.step)]
        assert float(found.surprise[number]) == pytest.approx(-sum(taken) / len(taken), abs=1e-5)
        entropy = -(scores.exp() * scores).sum(-1).mean()
        assert float(found.entropy[number]) == pytest.approx(float(entropy), abs=1e-5)
        assert torch.allclose(found.hidden[number], output.hidden_states[-1][0, -1], atol=1e-5)


def test_a_linear_probe_finds_what_is_written():
    """One feature of eight says it, with noise: held-out states are told apart; without it they are not."""
    generator = torch.Generator().manual_seed(0)
    dead = [number % 3 == 0 for number in range(300)]
    noise = torch.randn(300, 8, generator=generator)
    planted = noise.clone()
    planted[:, 5] += 4 * torch.tensor(dead)
    for states, least, most in ((planted, 0.95, 1.0), (noise, 0.35, 0.65)):
        scores = LinearProbe(states[:200], dead[:200]).dead(states[200:])
        told = list(zip(scores, dead[200:], strict=True))
        pairs = [(a, b) for a, is_dead in told if is_dead for b, other in told if not other]
        assert least <= sum(a > b for a, b in pairs) / len(pairs) <= most


def test_one_kind_cannot_be_told_apart():
    """It says so, with the counts."""
    with pytest.raises(MetricError, match="0 of 2 dead"):
        LinearProbe(torch.zeros(2, 3), [False, False])
