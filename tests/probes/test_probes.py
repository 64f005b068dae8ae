"""Probes of a model, against forward passes of one context each, and gradients taken one by one."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import MetricError
from halluc_plugin.probes import (
    Place,
    edit_discrimination,
    edit_emission,
    gradient_cosines,
    negative_learning,
    span_log_probs,
)

BACK, STEP = 2, 3
VOCAB = EditVocab(backtrack=BACK, step=STEP, step_delimiters=frozenset({1}))


def random_model(seed):
    """A small model with sharp opinions."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(40)
    return model


@pytest.fixture(scope="module")
def model():
    """The one that is probed."""
    return random_model(0)


def test_emission(model):
    """Probability of either edit, and whether one is the likeliest, at each context by itself."""
    contexts = [(4, 5, 6), (7,), (4, 1, 8, 9, 5), (10, 11)] * 20
    found = edit_emission(model, contexts, VOCAB, batch_size=7)
    for context, likeliest, probability in zip(contexts, found.likeliest, found.probability, strict=True):
        with torch.no_grad():
            last = model(torch.tensor([context])).logits[0, -1].softmax(-1)
        assert probability == pytest.approx(float(last[BACK] + last[STEP]), abs=1e-5)
        assert likeliest == (int(last.argmax()) in {BACK, STEP})
    assert found.rate.value == sum(found.likeliest) / 80
    assert found.mean_probability == pytest.approx(sum(found.probability) / 80)


def test_discrimination_is_of_emission_by_kind_of_place(model):
    """Exact masses, dead and live apart; places of one problem hang together."""
    contexts = [(4, 5, 6), (7,), (4, 1, 8, 9, 5), (10, 11), (6, 6)]
    dead, masses = [True, False, True, False, False], edit_emission(model, contexts, VOCAB).probability
    places = [Place(*each) for each in zip(contexts, dead, strict=True)]
    found = edit_discrimination(model, [places[:2], places[2:]], VOCAB)
    assert found.dead.value == pytest.approx((masses[0] + masses[2]) / 2)
    assert found.live.value == pytest.approx((masses[1] + masses[3] + masses[4]) / 3)
    ordered = [masses[a] > masses[b] for a in (0, 2) for b in (1, 3, 4)]
    assert found.auc.value == pytest.approx(sum(ordered) / 6)


def test_spans(model):
    """The sum over a span's tokens, each given all before it."""
    spans = [((4, 5), (6, 7, 8)), ((9,), (4,)), ((5, 5, 5, 5), (1, 2))]
    for (context, span), found in zip(spans, span_log_probs(model, spans, batch_size=2), strict=True):
        total, before = 0.0, list(context)
        for token in span:
            with torch.no_grad():
                total += float(model(torch.tensor([before])).logits[0, -1].log_softmax(-1)[token])
            before.append(token)
        assert found == pytest.approx(total, abs=1e-4)


def test_negative_learning(model):
    """Nothing against itself; against another model the mean shift a token, inside its limits."""
    errors = [((4, 5), (6, 7)), ((9,), (4,)), ((8, 8), (10, 11, 4))]
    assert negative_learning(model, model, errors) == (0, 0, 0)
    other = random_model(1)
    mean, low, high = negative_learning(model, other, errors)
    ours, theirs = span_log_probs(model, errors), span_log_probs(other, errors)
    assert mean == pytest.approx((sum(ours) - sum(theirs)) / 6)
    assert low < mean < high
    with pytest.raises(MetricError, match="no interval"):
        negative_learning(model, other, errors[:1])


def test_cosines(model):
    """Of gradients that are taken token by token, in a trace with one error token and one with two."""
    rows = [TraceRow([4, 7], [5, BACK, 6, 8, 1]), TraceRow([9], [8, 10, 11, BACK, BACK, 4, 5, 6])]
    roles = {
        "errors": [(0, 0), (1, 1), (1, 2)],
        "edits": [(0, 1), (1, 3), (1, 4)],
        "corrections": [(0, 2), (1, 5), (1, 6)],
    }
    parameters = list(model.parameters())
    gradients = {}
    for role, places in roles.items():
        losses = []
        for row, column in places:
            prompt, response = rows[row].prompt_ids, rows[row].response_ids
            logits = model(torch.tensor([[*prompt, *response[:column]]])).logits[0, -1]
            losses.append(-logits.log_softmax(-1)[response[column]])
        parts = torch.autograd.grad(torch.stack(losses).mean(), parameters)
        gradients[role] = torch.cat([part.flatten() for part in parts])

    def cosine(one, other):
        return float(torch.nn.functional.cosine_similarity(gradients[one], gradients[other], dim=0))

    found = gradient_cosines(model, rows, VOCAB)
    assert found.error_edit == pytest.approx(cosine("errors", "edits"), abs=1e-4)
    assert found.error_correction == pytest.approx(cosine("errors", "corrections"), abs=1e-4)
    assert found.edit_correction == pytest.approx(cosine("edits", "corrections"), abs=1e-4)
    assert all(parameter.grad is None for parameter in parameters)


def test_a_correction_ends_where_the_next_error_begins(model):
    """Of two errors, the second right behind the first's one-token correction, the same cosines as apart."""
    together = TraceRow([4], [5, 6, BACK, BACK, 7, 8, BACK, 9, 10])  # 7 corrects 5 6, 9 corrects 8
    found = gradient_cosines(model, [together], VOCAB)
    prompt, response = together.prompt_ids, together.response_ids

    def gradient(places):
        losses = []
        for place in places:
            logits = model(torch.tensor([[*prompt, *response[:place]]])).logits[0, -1]
            losses.append(-logits.log_softmax(-1)[response[place]])
        parts = torch.autograd.grad(torch.stack(losses).mean(), list(model.parameters()))
        return torch.cat([part.flatten() for part in parts])

    expected = torch.nn.functional.cosine_similarity(gradient([0, 1, 5]), gradient([4, 7]), dim=0)
    assert found.error_correction == pytest.approx(float(expected), abs=1e-4)


def test_cosines_need_errors(model):
    """A trace without one is refused by name."""
    with pytest.raises(MetricError, match="no errors"):
        gradient_cosines(model, [TraceRow([4], [5, 6])], VOCAB)
