"""The actor's log-probs know which actions were banned when they were sampled."""

from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from transformers import Qwen2Config, Qwen2ForCausalLM
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPEngineConfig

from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.settings import Settings, load
from verl_ext.engine import BacktrackFSDPEngine
from verl_ext.engine_config import BacktrackEngineConfig

B, R = 18, 19  # backtrack and restart
VOCAB = EditVocab(backtrack=B, restart=R)
PROMPTS = [[1, 2, 3], [4], [5, 6]]
RESPONSES = [[7, B, 8, 9], [7, 7], [7, 8, R, 9, 10]]
# Where edits were banned with a budget of 1 and the boundary masked, by hand.
BANNED = [[True, False, True, True], [True, False], [True, False, False, True, True]]


@pytest.fixture
def model():
    """A small random model with sharp logits."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=20,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        attn_implementation="sdpa",
    )
    return Qwen2ForCausalLM(config).eval()


def make_engine(model, settings: Settings) -> BacktrackFSDPEngine:
    """The real engine class around a plain module: no process group, no sharding."""
    engine = BacktrackFSDPEngine.__new__(BacktrackFSDPEngine)
    engine._settings, engine._vocab = settings, VOCAB
    engine.module = model
    engine.engine_config = FSDPEngineConfig(strategy="fsdp2")
    engine.pad_to_length = engine.use_ulysses_sp = False
    from verl.utils.torch_functional import entropy_from_logits

    engine.compute_entropy_from_logits = entropy_from_logits
    return engine


def micro_batch(*, packed: bool) -> TensorDict:
    """A batch as verl hands it to the engine: nested tensors without padding."""

    def nested(rows):
        return torch.nested.as_nested_tensor([torch.tensor(r) for r in rows], layout=torch.jagged)

    whole = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    return tu.get_tensordict(
        {
            "prompts": nested(PROMPTS),
            "responses": nested(RESPONSES),
            "input_ids": nested(whole),
            "position_ids": nested([list(range(len(row))) for row in whole]),
        },
        {"use_remove_padding": packed, "calculate_entropy": True, "temperature": 0.7},
    )


def outputs(engine, batch):
    """What verl's forward step does up to the outputs."""
    inputs, output_args = engine.prepare_model_inputs(micro_batch=batch)
    raw = engine.module(**inputs, use_cache=False)
    return engine.prepare_model_outputs(raw, output_args, batch, None)


def reference(model):
    """Log-probs and entropies of the actions, one sequence at a time, edits at -inf where banned."""
    log_probs, entropies = [], []
    is_edit = torch.isin(torch.arange(20), torch.tensor([B, R]))
    for prompt, response, bans in zip(PROMPTS, RESPONSES, BANNED, strict=True):
        logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / 0.7
        banned = torch.tensor(bans)[:, None] & is_edit
        log_p = logits.masked_fill(banned, -torch.inf).log_softmax(-1)
        log_probs.append(log_p.gather(-1, torch.tensor(response)[:, None])[:, 0])
        entropies.append(-(log_p.exp() * log_p).masked_fill(banned, 0).sum(-1))
    return log_probs, entropies


def of_actions(nested):
    """The response part of a nested output, shifted as verl shifts it."""
    return [row[len(p) - 1 : -1] for row, p in zip(nested.unbind(), PROMPTS, strict=True)]


@pytest.mark.parametrize("packed", [False, True])
def test_equals_a_softmax_without_the_banned_tokens(model, packed):
    """Log-probs and entropy of every action are those of the distribution it was really sampled from."""
    engine = make_engine(model, load({"max_backtracks": 1, "boundary": "mask"}))
    with torch.no_grad():
        got = outputs(engine, micro_batch(packed=packed))
        log_probs, entropies = reference(model)
    for name, rows in {"log_probs": log_probs, "entropy": entropies}.items():
        for have, want in zip(of_actions(got[name]), rows, strict=True):
            torch.testing.assert_close(have, want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("packed", [False, True])
def test_gradient_flows_around_the_ban(model, packed):
    """The gradient of the log-probs is the reference's: a banned logit gets none, nothing is NaN."""
    engine = make_engine(model, load({"max_backtracks": 1, "boundary": "mask"}))
    got = outputs(engine, micro_batch(packed=packed))
    sum(row.sum() for row in of_actions(got["log_probs"])).backward()
    have = model.lm_head.weight.grad.clone()
    model.zero_grad()
    log_probs, _ = reference(model)
    sum(row.sum() for row in log_probs).backward()
    torch.testing.assert_close(have, model.lm_head.weight.grad, atol=1e-4, rtol=1e-4)


def test_no_ban_leaves_the_stock_outputs(model):
    """With a budget nobody reaches, outputs are bit-identical to the base class's."""
    engine = make_engine(model, load({"max_backtracks": 100}))
    with torch.no_grad():
        ours = outputs(engine, micro_batch(packed=False))
        batch = micro_batch(packed=False)
        inputs, output_args = engine.prepare_model_inputs(micro_batch=batch)
        raw = model(**inputs, use_cache=False)
        stock = super(BacktrackFSDPEngine, engine).prepare_model_outputs(raw, output_args, batch, None)
    assert torch.equal(ours["log_probs"].values(), stock["log_probs"].values())


def test_empty_prompt_is_refused(model):
    """Without a prompt nothing predicts the first action; its ban would hit another row."""
    engine = make_engine(model, Settings(boundary=Boundary.MASK))
    batch = micro_batch(packed=True)
    batch["prompts"] = torch.nested.nested_tensor_from_jagged(
        torch.tensor([1, 2]), torch.tensor([0, 0, 1, 2])
    )
    with pytest.raises(TraceError, match="prompt is empty"):
        engine.prepare_model_outputs(SimpleNamespace(), {}, batch, None)


@pytest.mark.parametrize(
    ("fused", "ulysses", "config_class", "named"),
    [
        (True, 1, BacktrackEngineConfig, "fused kernels"),
        (False, 2, BacktrackEngineConfig, "Ulysses"),
        (False, 1, FSDPEngineConfig, "without the halluc block"),
    ],
)
def test_refuses_what_it_cannot_do(fused, ulysses, config_class, named):
    """An engine that could not apply the ban is never built."""
    config = config_class(strategy="fsdp2", ulysses_sequence_parallel_size=ulysses)
    with pytest.raises(SettingsError, match=named):
        BacktrackFSDPEngine(SimpleNamespace(use_fused_kernels=fused), config, None, None)


def test_registered_beside_the_stock_engine():
    """The registry holds the engine under our name, and its own under its own."""
    from verl.workers.engine.base import EngineRegistry

    engines = EngineRegistry._engines["language_model"]
    assert engines["backtrack_fsdp2"]["cuda"] is BacktrackFSDPEngine
    assert BacktrackFSDPEngine not in engines["fsdp2"].values()
