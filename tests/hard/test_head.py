"""Logits are made where an action reads them, in chunks, inside the model's own forward."""

import copy
import math

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen3ForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from halluc_plugin.acceptance.padded import padded_scores
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.hard import (
    ACTIONS,
    ActionQuery,
    Reading,
    Statistic,
    chunks,
    read_logits,
    reading_actions,
    score_actions,
)
from halluc_plugin.hard.chunks import ChunkedHead, chunk_of
from halluc_plugin.training.output_bias import OutputBias
from tests.hard.conftest import batch, gradients, model_of

EVERY = tuple(Statistic)
SIMPLE = (Statistic.LOG_PROB, Statistic.NORMALIZER)
"""Statistics whose gradients need no pass over the logits beyond the probabilities."""


def by_autograd(logits, reading):
    """The same numbers by torch's own operations."""
    logits = logits if reading.temperature is None else logits / reading.temperature[:, None]
    ids = torch.arange(logits.shape[-1])
    never = torch.isin(ids, torch.tensor(reading.unknown, dtype=torch.long)).expand(logits.shape)
    is_edit = torch.isin(ids, torch.tensor(reading.edit_ids))
    if reading.banned is not None:
        never = never | (reading.banned[:, None] & is_edit)
    log_p = logits.masked_fill(never, -torch.inf).log_softmax(-1)
    p, finite = log_p.exp(), log_p.masked_fill(never, 0)
    return {
        Statistic.LOG_PROB: log_p.gather(1, reading.ids[:, None])[:, 0],
        Statistic.ENTROPY: -(p * finite).sum(1),
        Statistic.EDIT_MASS: p[:, is_edit].sum(1),
        Statistic.NORMALIZER: logits.masked_fill(never, -torch.inf).logsumexp(1),
        Statistic.SQUARES: (p * p).sum(1),
    }


@pytest.mark.parametrize("wanted", [EVERY, *((name,) for name in Statistic)], ids=str)
@pytest.mark.parametrize("bans", [False, True])
def test_statistics_and_their_gradients(wanted, bans):
    """All at once and each by itself, also with bans, ids that are no token and another temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = (3 * torch.randn(6, 11, generator=generator)).requires_grad_()
    reading = Reading(torch.tensor([0, 3, 9, 4, 4, 1]), edit_ids=(3, 4), wanted=wanted)
    if bans:
        banned = torch.tensor([True, False, True, False, False, True])
        temperature = torch.tensor([0.5, 1.0, 2.0, 1.0, 0.7, 1.0])
        reading = Reading(reading.ids, temperature, banned, (3, 4), (7, 10), wanted)
    weights = torch.randn(len(wanted), 6, generator=generator)
    have, want = read_logits(logits, reading), by_autograd(logits, reading)
    grads = []
    for found in (have, want):
        loss = sum((w * found[name]).sum() for w, name in zip(weights, wanted, strict=True))
        grads.append(torch.autograd.grad(loss, logits)[0])
    for name in wanted:
        torch.testing.assert_close(have[name], want[name], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-5)


def test_an_id_that_is_no_token_has_log_prob_minus_infinity():
    """As if it could be sampled it is never scored."""
    found = read_logits(torch.zeros(1, 4), Reading(torch.tensor([3]), unknown=(3,)))
    assert found[Statistic.LOG_PROB].tolist() == [-torch.inf]


def low_rank(model):
    """The model in peft's wrapper, with updates of all projections, the head's among them."""
    torch.manual_seed(1)
    names = ["q_proj", "v_proj", "lm_head"]
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=names, init_lora_weights=False))
    return tuned.eval()


def with_table(model):
    """The model with a bias of its output in a table, added by a hook on its head."""
    torch.nn.init.normal_(model.lm_head.bias)
    bias = OutputBias.take_from(model)
    tuned = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    bias.attach(tuned)
    return tuned.eval()


@pytest.mark.parametrize(
    ("family", "wrap"), [("qwen3", low_rank), ("granite", low_rank), ("phi", with_table)]
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_low_rank_updates_and_hooks_on_the_head(family, wrap, checkpointing):
    """A head that is more than a linear layer is run as it is; also where layers run again in a backward."""
    model, given = wrap(model_of(family)), batch()
    old = padded_scores(model, *given)
    want = gradients(model, old[0].sum() + old[1].sum())
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
    for chunk in (None, 4):
        scores = score_actions(model, *given, chunk=chunk)
        torch.testing.assert_close(scores.log_probs, old[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(scores.entropy, old[1], atol=1e-5, rtol=1e-5)
        for name, gradient in gradients(model, scores.log_probs.sum() + scores.entropy.sum()).items():
            torch.testing.assert_close(gradient, want[name], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["qwen2", "gemma2"])
def test_autocast_computes_the_head_in_half_precision(family):
    """As the model's own forward does: equal to the padded path up to its rounding, gradients too."""
    model, given = model_of(family), batch()
    with torch.autocast("cpu", torch.bfloat16):
        old = padded_scores(model, *given)[0]
        new = score_actions(model, *given, chunk=7).log_probs
    torch.testing.assert_close(new, old, atol=0.15, rtol=0.05)
    want, have = (gradients(model, loss.sum()) for loss in (old, new))
    for name, gradient in want.items():
        assert (have[name] - gradient).norm() <= 0.1 * gradient.norm() + 1e-3


def test_weights_behind_the_head_are_trained():
    """A scale of the logits that is learned gets its gradient, also in chunks."""

    class Scaled(Qwen3ForCausalLM):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = output.logits * self.scale
            return output

    model, given = model_of("qwen3"), batch()
    model.__class__ = Scaled
    model.scale = torch.nn.Parameter(torch.tensor(1.5))
    want = gradients(model, padded_scores(model, *given)[0].sum())
    for chunk in (None, 4):
        have = gradients(model, score_actions(model, *given, chunk=chunk).log_probs.sum())
        for name, gradient in want.items():
            torch.testing.assert_close(have[name], gradient, atol=2e-5, rtol=1e-4)


def test_chunks_lose_no_gradient_in_half_precision():
    """The gradient of a head in bfloat16 is as near to the exact one in many chunks as in one."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2048, 16, generator=generator) + 1
    weight, bias = torch.randn(64, 16, generator=generator), torch.zeros(64)
    ids = torch.randint(0, 64, (2048,), generator=generator)

    def gradient(dtype, rows):
        leaves = [x.detach().clone().to(dtype).requires_grad_() for x in (states, weight, bias)]
        ChunkedHead(Reading(ids), rows, None)(*leaves)[0].sum().backward()
        assert all(leaf.grad.dtype == dtype for leaf in leaves)
        return [leaf.grad.float() for leaf in leaves]

    exact = gradient(torch.float32, 2048)
    for one, many, want in zip(
        gradient(torch.bfloat16, 2048), gradient(torch.bfloat16, 8), exact, strict=True
    ):
        assert (many - want).norm() <= 1.2 * (one - want).norm()


@pytest.mark.parametrize("wanted", [(name,) for name in Statistic] + [EVERY, SIMPLE], ids=str)
@pytest.mark.parametrize("how", ["plain", "biased", "tempered and banned", "half"])
def test_gradients_of_a_chunked_head(wanted, how):
    """They are torch's own of states, weight and bias, in chunks of which the last is shorter."""
    generator = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if how == "half" else torch.float32
    states, weight, bias = (
        torch.randn(*shape, generator=generator).to(dtype) for shape in ((7, 5), (11, 5), (11,))
    )
    reading = Reading(torch.tensor([0, 3, 9, 4, 4, 1, 10]), edit_ids=(3, 4), wanted=wanted)
    if how == "tempered and banned":
        banned = torch.tensor([True, False, True, False, False, True, False])
        temperature = torch.tensor([0.5, 1.0, 2.0, 1.0, 0.7, 1.0, 3.0])
        reading = Reading(reading.ids, temperature, banned, (3, 4), (7,), wanted)
    weights = torch.randn(len(wanted), 7, generator=generator)

    def gradients_by(read):
        leaves = [
            x.clone().requires_grad_()
            for x in (states, weight, bias if how == "biased" else None)
            if x is not None
        ]
        sum((w * x).sum() for w, x in zip(weights, read(*leaves), strict=True)).backward()
        return [leaf.grad.float() for leaf in leaves]

    def by_torch(states, weight, bias=None):
        found = by_autograd(torch.nn.functional.linear(states.float(), weight.float(), bias), reading)
        return [found[name] for name in wanted]

    have = gradients_by(lambda states, weight, bias=None: ChunkedHead(reading, 3, None)(states, weight, bias))
    tolerance = {"atol": 0.1, "rtol": 0.05} if how == "half" else {"atol": 1e-5, "rtol": 1e-5}
    for mine, want in zip(have, gradients_by(by_torch), strict=True):
        torch.testing.assert_close(mine, want, **tolerance)


def test_a_graph_is_passed_back_twice():
    """The second time everything is computed again, since the first has let go of what the forward left."""
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(n, 5, generator=generator, requires_grad=True) for n in (7, 11))
    (found,) = ChunkedHead(Reading(torch.arange(7)), 3, None)(states, weight, None)
    assert found.grad_fn.buffers is not None
    first = torch.autograd.grad(found.sum(), (states, weight), retain_graph=True)
    assert found.grad_fn.buffers is None
    assert found.grad_fn.last is None
    torch.testing.assert_close(torch.autograd.grad(found.sum(), (states, weight)), first)


def test_an_action_that_is_nearly_certain_keeps_its_gradient_in_half_precision():
    """Of a probability that half precision rounds to 1, what is missing from 1 is the gradient."""
    weight = torch.tensor([[8.0], [0.0], [0.0]], dtype=torch.bfloat16)
    states = torch.tensor([[1.0]], dtype=torch.bfloat16, requires_grad=True)
    ChunkedHead(Reading(torch.tensor([0])), 1, None)(states, weight, None)[0].sum().backward()
    missing = 2 / (2 + math.exp(8))
    assert states.grad.item() == pytest.approx(8 * missing, rel=0.02)


def test_the_forward_is_as_before_behind_the_block():
    """Inside it, too, for whoever asks for nothing; a forward of the instance's own is kept."""
    model = model_of("qwen3")
    ids = torch.tensor([[1, 2, 3]])
    want = model(ids).logits
    with reading_actions(model):
        assert torch.equal(model(ids).logits, want)
    assert "forward" not in vars(model)
    stock = model.forward

    def shifted(*args, **kwargs):
        output = stock(*args, **kwargs)
        return CausalLMOutputWithPast(logits=output.logits + torch.arange(48))

    model.forward = shifted
    query = ActionQuery(torch.tensor([1, 1]), torch.tensor([3, 4]), wanted=(Statistic.NORMALIZER,))
    with reading_actions(model):
        found = model(ids, **{ACTIONS: query}).normalizer
    assert model.forward is shifted
    torch.testing.assert_close(found, (want + torch.arange(48))[0, 1].logsumexp(-1).expand(2))


def test_an_error_inside_leaves_the_model_whole():
    """An id beyond the head is refused with a cure, and afterwards all is as before."""
    model, ids = model_of("qwen3"), torch.tensor([[1, 2, 3]])
    want = model(ids).logits
    query = ActionQuery(torch.tensor([1]), torch.tensor([48]))
    with reading_actions(model), pytest.raises(TokenizerError, match=r"id 48, .* 48 rows"):
        model(ids, **{ACTIONS: query})
    assert torch.equal(model(ids).logits, want)
    assert "forward" not in vars(model.model)


def test_a_chunk_that_does_not_fit_is_refused(monkeypatch):
    """It says how much is needed and what to set; by itself a chunk is as large as is quick, and fits."""
    cpu = torch.device("cpu")
    monkeypatch.setattr(chunks, "_free_bytes", lambda device: 2**30)
    with pytest.raises(SettingsError, match=r"need 2289 MiB; 1024 MiB are free") as told:
        chunk_of(150_000, 10**6, cpu, 1000)
    assert "entropy_from_logits_chunk_size" in str(told.value)
    with pytest.raises(SettingsError, match="at least 1"):
        chunk_of(150_000, 10**6, cpu, 0)
    assert chunk_of(150_000, 10**6, cpu, 400) == 400
    # 192 MiB, a sixth of the logits of 1700 actions, and 64 MiB: a row has 600 000 bytes.
    assert [chunk_of(150_000, actions, cpu, None) for actions in (10**6, 1700, 20)] == [335, 283, 111]
    monkeypatch.setattr(chunks, "_free_bytes", lambda device: 2**26)
    assert chunk_of(150_000, 10**6, cpu, None) == 27
    with pytest.raises(SettingsError, match="1 actions at once"):
        chunk_of(10**8, 1, cpu, None)


def test_a_model_without_a_body_and_copies_for_several_devices_are_refused():
    """One message for each."""
    with pytest.raises(SettingsError, match="no body"), reading_actions(torch.nn.Linear(2, 2)):
        pass
    copies = torch.nn.DataParallel(copy.deepcopy(model_of("qwen3")))
    with pytest.raises(SettingsError, match="torchrun"), reading_actions(copies):
        pass
