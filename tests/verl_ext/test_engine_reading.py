"""How the actor's engine reads logits: in chunks, only what verl asks for, never before it was compared."""

import pytest
import torch
from verl.workers.config import FSDPEngineConfig
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from halluc_plugin.edits import Context, EditState
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import load
from tests.verl_ext.test_engine import (
    BANNED,
    PROMPTS,
    RESPONSES,
    VOCAB,
    B,
    R,
    make_engine,
    make_model,
    micro_batch,
    of_actions,
    outputs,
)
from verl_ext import engine as engine_module

BANS = {"max_backtracks": 1, "boundary": "mask"}


@pytest.mark.parametrize("context", list(Context))
def test_chunks_are_those_of_verl(context):
    """With verl's setting for entropies in chunks, so many actions are read at once, with the same result."""
    block = load({"context": context.value, **BANS})
    engine = make_engine(make_model(rows=20), block)
    with torch.no_grad():
        whole = outputs(engine, micro_batch(packed=True, calculate_sum_pi_squared=True))
        engine.engine_config = FSDPEngineConfig(
            strategy="fsdp2", entropy_from_logits_with_chunking=True, entropy_from_logits_chunk_size=2
        )
        inputs, _ = engine.prepare_model_inputs(micro_batch(packed=True))
        assert inputs["halluc_actions"].chunk == 2
        chunked = outputs(engine, micro_batch(packed=True, calculate_sum_pi_squared=True))
    assert set(whole) == {"log_probs", "entropy", "sum_pi_squared", "backtrack_edit_probs"}
    for name, nested in whole.items():
        torch.testing.assert_close(chunked[name].values(), nested.values(), atol=1e-6, rtol=1e-5)
    squares = torch.cat(of_actions(whole["sum_pi_squared"]))
    assert ((squares > 1 / 20 - 1e-6) & (squares <= 1 + 1e-6)).all()


def test_only_what_is_asked_for_is_read():
    """An update without entropy bonus reads log-probs alone."""
    engine = make_engine(make_model(rows=20), load({"context": "hard"}))
    assert set(outputs(engine, micro_batch(packed=True, calculate_entropy=False))) == {"log_probs"}


@pytest.mark.parametrize("block", [BANS, {"max_backtracks": 100}])
def test_distillation_with_limits_is_refused(block):
    """The base class would compare logits from which nothing is banned; without limits it may."""
    batch = micro_batch(packed=False, distillation_use_topk=True)
    with pytest.raises(SettingsError, match="Leave out limits on edits"):
        make_engine(make_model(rows=20), load(block)).prepare_model_inputs(batch)
    inputs, _ = make_engine(make_model(rows=20), load({})).prepare_model_inputs(batch)
    assert "halluc_actions" not in inputs


def test_the_first_step_is_checked(monkeypatch):
    """What is read is compared with the model's own logits before anything else, and once."""
    calls = []
    monkeypatch.setattr(engine_module, "check_reading", lambda *args, **options: calls.append("check"))
    monkeypatch.setattr(
        FSDPEngineWithLMHead,
        "forward_step",
        lambda self, *args: calls.append(vars(self.module).get("forward")),
    )
    engine = make_engine(make_model(rows=20), load({"context": "hard"}))
    engine._checked = False
    for _ in range(2):
        engine.forward_step(micro_batch(packed=True), None, forward_only=True)
    assert calls[0] == "check"
    assert len(calls) == 3
    assert all(callable(call) for call in calls[1:])  # the model reads actions then
    assert "forward" not in vars(engine.module)


@pytest.mark.parametrize(
    ("block", "fix"),
    [({}, r"halluc.trace_log.edit_probs=false"), ({"context": "hard"}, "eager"), (BANS, "eager")],
)
def test_a_model_that_cannot_be_read_may_be_left_to_verl(monkeypatch, block, fix):
    """Where the engine is there for P(edit) alone, the refusal says how to do without it."""

    def refuse(*_, **__):
        raise SettingsError("Log-probs differ.", "Load it with attn_implementation=eager.")

    monkeypatch.setattr(engine_module, "check_reading", refuse)
    engine = make_engine(make_model(rows=20), load(block))
    engine._checked = False
    with pytest.raises(SettingsError, match=rf"Log-probs differ.*{fix}"):
        engine.forward_step(micro_batch(packed=True), None, forward_only=True)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("context", Context)
def test_the_probability_of_an_edit_is_told_before_the_update(packed, context):
    """Of every action, what it was not included, 0 where edits were banned; not in passes with gradients."""
    model = make_model(rows=20)
    engine = make_engine(model, load({"context": context.value, **BANS}))
    with torch.no_grad():
        got = of_actions(outputs(engine, micro_batch(packed=packed))["backtrack_edit_probs"])
        edits = [reference_masses(model, row, context) for row in range(3)]
    for have, want, banned in zip(got, edits, BANNED, strict=True):
        torch.testing.assert_close(have, want * ~torch.tensor(banned), atol=1e-5, rtol=0)
    assert "backtrack_edit_probs" not in outputs(engine, micro_batch(packed=packed))
    with torch.no_grad():
        plain = outputs(engine, micro_batch(packed=packed, calculate_entropy=False))
    assert "backtrack_edit_probs" not in plain  # as the reference policy is asked


def reference_masses(model, row, context):
    """P(edit) before each action of a row at temperature 0.7, a forward for each, nothing banned."""
    state, found = EditState(VOCAB), []
    for t, action in enumerate(RESPONSES[row]):
        seen = state.live_ids if context is Context.HARD else RESPONSES[row][:t]
        logits = model(torch.tensor([PROMPTS[row] + list(seen)])).logits[0, -1] / 0.7
        found.append(logits.softmax(-1)[[B, R]].sum())
        state.push(action)
    return torch.stack(found)
