"""The actor's log-probs are those of the policy that was sampled from: its bans, and its context."""

from types import SimpleNamespace

import pytest
import torch
from tensordict import TensorDict
from transformers import Qwen2Config, Qwen2ForCausalLM
from verl.utils import tensordict_utils as tu
from verl.workers.config import FSDPEngineConfig

from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.hard import ACTIONS, reading_actions
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
    return make_model(rows=20)


@pytest.fixture
def spare_rows():
    """The same with rows that are no token's."""
    return make_model(rows=29)


def make_model(rows: int) -> Qwen2ForCausalLM:
    """The model with so many rows of embeddings."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        attn_implementation="sdpa",
    )
    return Qwen2ForCausalLM(config).eval()


def make_engine(model, settings: Settings, sampled: int = 20) -> BacktrackFSDPEngine:
    """The real engine class around a plain module: no process group, no sharding."""
    engine = BacktrackFSDPEngine.__new__(BacktrackFSDPEngine)
    engine._settings, engine._vocab, engine._sampled = settings, VOCAB, sampled
    engine._hard, engine._autocast_dtype = settings.context is Context.HARD, torch.float32
    engine.module = model
    engine.engine_config = FSDPEngineConfig(strategy="fsdp2")
    engine.pad_to_length = engine.use_ulysses_sp = False
    from verl.utils.torch_functional import entropy_from_logits

    engine.compute_entropy_from_logits = entropy_from_logits
    return engine


def micro_batch(*, packed: bool, **options) -> TensorDict:
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
        {"use_remove_padding": packed, "calculate_entropy": True, "temperature": 0.7, **options},
    )


def outputs(engine, batch):
    """What verl's forward step does up to the outputs."""
    inputs, output_args = engine.prepare_model_inputs(micro_batch=batch)
    with reading_actions(engine.module):
        raw = engine.module(**inputs, use_cache=False)
    return engine.prepare_model_outputs(raw, output_args, batch, None)


def reference(model, bans=BANNED, context=Context.SOFT, sampled=20):
    """Log-probs and entropies of the actions, a forward for each, edits at -inf where banned.

    Rows of the model from ``sampled`` on are never sampled.
    """
    log_probs, entropies = [], []
    ids = torch.arange(model.config.vocab_size)
    is_edit = torch.isin(ids, torch.tensor([B, R]))
    for prompt, response, banned_at in zip(PROMPTS, RESPONSES, bans, strict=True):
        state, rows = EditState(VOCAB), []
        for t, action in enumerate(response):
            seen = state.live_ids if context is Context.HARD else response[:t]
            rows.append(model(torch.tensor([prompt + list(seen)])).logits[0, -1] / 0.7)
            state.push(action)
        banned = (torch.tensor(banned_at)[:, None] & is_edit) | (ids >= sampled)
        log_p = torch.stack(rows).masked_fill(banned, -torch.inf).log_softmax(-1)
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


@pytest.mark.parametrize("context", Context)
def test_rows_beyond_the_tokenizer_are_never_sampled(spare_rows, context):
    """Of a model with more rows than its tokenizer has tokens, verl's rollout samples the tokens alone."""
    limits = {"max_backtracks": 1, "boundary": "mask"}
    engine = make_engine(spare_rows, load({"context": context.value, **limits}), sampled=20)
    with torch.no_grad():
        got = outputs(engine, micro_batch(packed=True))
        log_probs, entropies = reference(spare_rows, context=context, sampled=20)
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


@pytest.mark.parametrize("nested_column", [False, True])
def test_budgets_of_a_curriculum_are_the_rows_own(model, nested_column):
    """Rows of one batch may have been sampled in different stages; the column says with which budget."""
    engine = make_engine(model, load({"curriculum": [{"steps": 1, "max_backtracks": 1}, {}]}))
    batch = micro_batch(packed=True)
    with pytest.raises(TraceError, match="no column backtrack_budget"):
        outputs(engine, batch)
    column = torch.tensor([[1], [-1], [-1]])
    batch["backtrack_budget"] = (
        torch.nested.as_nested_tensor(list(column), layout=torch.jagged) if nested_column else column
    )
    bans = [[False, False, True, True], NO_BANS[1], NO_BANS[2]]
    with torch.no_grad():
        got, (want, _) = outputs(engine, batch)["log_probs"], reference(model, bans)
    for have, row in zip(of_actions(got), want, strict=True):
        torch.testing.assert_close(have, row, atol=1e-5, rtol=0)


NO_BANS = [[False] * len(response) for response in RESPONSES]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("block", "bans"),
    [({}, NO_BANS), ({"max_backtracks": 1, "boundary": "mask"}, BANNED)],
    ids=["free", "banned"],
)
def test_hard_context_sees_the_live_text_only(model, block, bans, packed):
    """In hard context all is as if each action had a forward of its own from the collapsed prefix."""
    engine = make_engine(model, load({"context": "hard", **block}))
    got = outputs(engine, micro_batch(packed=packed))
    sum(row.sum() for row in of_actions(got["log_probs"])).backward()
    have = model.lm_head.weight.grad.clone()
    model.zero_grad()
    log_probs, entropies = reference(model, bans, Context.HARD)
    for name, rows in {"log_probs": log_probs, "entropy": entropies}.items():
        for row, want in zip(of_actions(got[name]), rows, strict=True):
            torch.testing.assert_close(row.detach(), want.detach(), atol=1e-5, rtol=0)
    sum(row.sum() for row in log_probs).backward()
    torch.testing.assert_close(have, model.lm_head.weight.grad, atol=1e-4, rtol=1e-4)


def test_each_row_has_its_own_temperature(model):
    """One temperature for all rows, and one for each row, both reach every action of the row."""
    engine = make_engine(model, load({"context": "hard"}))
    with torch.no_grad():
        one = outputs(engine, micro_batch(packed=True))["log_probs"]
        each = outputs(engine, micro_batch(packed=True, temperature=torch.tensor([0.7, 1.0, 0.7])))[
            "log_probs"
        ]
        hot = outputs(engine, micro_batch(packed=True, temperature=1.0))["log_probs"]
    for row, want in enumerate((one, hot, one)):
        assert torch.equal(each.unbind()[row], want.unbind()[row])
    assert not torch.equal(one.unbind()[1], hot.unbind()[1])


def test_hard_context_never_runs_without_its_mask(model):
    """Rows are packed, with a mask beside the rewound positions; only parents are read."""
    engine = make_engine(model, load({"context": "hard"}))
    inputs, _ = engine.prepare_model_inputs(micro_batch=micro_batch(packed=True))
    # The rows by length: 7, then 7 and 3 in groups of their own.
    assert inputs["input_ids"].tolist() == [[1, 2, 3, 7, B, 8, 9, 5, 6, 7, 8, R, 9, 10, 4, 7, 7]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 3, 4, 3, 4, 0, 1, 2, 3, 4, 2, 3, 0, 1, 2]]
    assert tuple(inputs["attention_mask"].shape) == (1, 1, 17, 17)
    assert inputs[ACTIONS].index.tolist() == [2, 3, 2, 5, 14, 15, 8, 9, 10, 8, 12]


def test_hard_context_refuses_images(model):
    """Positions of several dimensions cannot be rewound."""
    engine = make_engine(model, load({"context": "hard"}))
    batch = micro_batch(packed=False)
    batch["position_ids"] = torch.nested.as_nested_tensor(
        [torch.zeros(4, len(p) + len(r), dtype=torch.long) for p, r in zip(PROMPTS, RESPONSES, strict=True)],
        layout=torch.jagged,
    )
    with pytest.raises(SettingsError, match="text only"):
        engine.prepare_model_inputs(micro_batch=batch)
    batch = micro_batch(packed=False)
    tu.assign_non_tensor_stack(batch, "multi_modal_inputs", [{}, {"pixel_values": torch.ones(1)}, {}])
    with pytest.raises(SettingsError, match="text only"):
        engine.prepare_model_inputs(micro_batch=batch)
    tu.assign_non_tensor_stack(batch, "multi_modal_inputs", [{}, {}, {}])
    engine.prepare_model_inputs(micro_batch=batch)


def test_without_bans_outputs_are_the_stock_ones(model):
    """Without limits on edits, and with one that nobody reaches, log-probs are those of the base class."""
    batch = micro_batch(packed=False)
    with torch.no_grad():
        free = outputs(make_engine(model, load({})), batch)["log_probs"]
        limited = outputs(make_engine(model, load({"max_backtracks": 100})), batch)["log_probs"]
        base = super(BacktrackFSDPEngine, make_engine(model, load({})))
        inputs, output_args = base.prepare_model_inputs(micro_batch=batch)
        raw = model(**inputs, use_cache=False)
        stock = base.prepare_model_outputs(raw, output_args, batch, None)["log_probs"]
    for have, also, want in zip(*map(of_actions, (free, limited, stock)), strict=True):
        torch.testing.assert_close(have, want, atol=1e-5, rtol=0)
        torch.testing.assert_close(also, want, atol=1e-5, rtol=0)


def test_empty_prompt_is_refused(model):
    """Without a prompt nothing predicts the first action; its ban would hit another row."""
    engine = make_engine(model, Settings(boundary=Boundary.MASK))
    batch = micro_batch(packed=True)
    batch["prompts"] = torch.nested.nested_tensor_from_jagged(
        torch.tensor([1, 2]), torch.tensor([0, 0, 1, 2])
    )
    with pytest.raises(TraceError, match="prompt is empty"):
        engine.prepare_model_inputs(batch)


@pytest.mark.parametrize(
    ("model_config", "engine_config", "named"),
    [
        ({"use_fused_kernels": True}, {}, "fused kernels"),
        ({}, {"ulysses_sequence_parallel_size": 2}, "Ulysses"),
        (
            {"hf_config": Qwen2Config(attn_implementation="flash_attention_2")},
            {"halluc": {"context": "hard"}},
            "flash_attention_2, which takes no tree mask",
        ),
        ({}, None, "without the halluc block"),
    ],
)
def test_refuses_what_it_cannot_do(model_config, engine_config, named):
    """An engine whose log-probs would be another policy's is never built."""
    built = FSDPEngineConfig(strategy="fsdp2")
    if engine_config is not None:
        built = BacktrackEngineConfig(strategy="fsdp2", **engine_config)
    model_config = SimpleNamespace(**{"use_fused_kernels": False, **model_config})
    with pytest.raises(SettingsError, match=named):
        BacktrackFSDPEngine(model_config, built, None, None)


def test_registered_beside_the_stock_engine():
    """The registry holds the engine under our name, and its own under its own."""
    from verl.workers.engine.base import EngineRegistry

    engines = EngineRegistry._engines["language_model"]
    assert engines["backtrack_fsdp2"]["cuda"] is BacktrackFSDPEngine
    assert BacktrackFSDPEngine not in engines["fsdp2"].values()
