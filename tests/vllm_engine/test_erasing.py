"""A signal of logits takes text back in vLLM's hard context: the processor, without an engine."""

import pytest
import torch

from halluc_plugin.decoding.triggers import Scope, StateSignal, TextSignal, Trigger, Watch, lpsr_like
from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.request import EditRequest

pytest.importorskip("vllm")
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate

from halluc_plugin.vllm_engine import bans

END, BACK, STEP = 1, 2, 3
VOCAB = EditVocab(backtrack=BACK, step=STEP, step_delimiters=frozenset({END}))
TRIGGER = Trigger(TextSignal.ENTROPY, (1.0, 1.2), STEP, budget=2, gate=0.1)


def request(trigger=TRIGGER, **given):
    """A request in hard context."""
    return EditRequest(VOCAB, context=Context.HARD, trigger=trigger, **given)


@pytest.mark.parametrize(
    "trigger", [TRIGGER, Trigger(TextSignal.MARGIN, (-0.5,), BACK, Scope.TOKEN, tokens=3)]
)
def test_a_request_travels_as_flat_keys(trigger):
    """What is read again is what was sent; the model's own edits are banned."""
    sent = request(trigger).to_extra_args()
    assert all(isinstance(value, str | int | float | list) for value in sent.values())
    assert EditRequest.from_extra_args(sent) == request(trigger)
    assert sent["halluc_budget"] == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"halluc_threshold": "high"}, "halluc_threshold is 'high', not a number"),
        ({"halluc_signal": "head"}, "halluc_signal is 'head'"),
        ({"halluc_erase": "restart"}, "Give an edit of the request: backtrack, step"),
        ({"halluc_context": "soft"}, "takes text back in soft context"),
        ({"halluc_budget": 3}, "Add halluc_context=hard and leave halluc_budget out"),
        ({"halluc_rollbacks": 0}, "Give 1 or more"),
    ],
)
def test_bad_requests(given, message):
    """One message, with the key and the fix."""
    with pytest.raises(SettingsError, match=message):
        EditRequest.from_extra_args(request().to_extra_args() | given)


def test_a_threshold_without_a_signal_is_refused():
    """It would change nothing."""
    with pytest.raises(SettingsError, match="halluc_threshold means nothing without halluc_signal"):
        EditRequest.from_extra_args({"halluc_backtrack": BACK, "halluc_threshold": 1.0})


def test_hidden_states_are_refused():
    """Processors see logits alone; the message says what decodes by states."""
    with pytest.raises(SettingsError, match="Decode with transformers"):
        request(lpsr_like(VOCAB, 0.0, gate=1.0, layer=1))
    assert StateSignal.HEAD not in list(TextSignal)


@pytest.fixture
def processor(monkeypatch):
    """The processor of hard context, with an engine that it takes for granted."""
    for check in ("require_tested_vllm", "check_config", "check_scheduler"):
        monkeypatch.setattr(bans, check, lambda *_: None)
    return bans.RewindBans(None, torch.device("cpu"), is_pin_memory=False)


def test_a_batch_erases_where_each_request_says(processor):
    """Random logits, two requests and one without: each action is the edit where a watch of its own says."""
    generator = torch.Generator().manual_seed(0)
    triggers = [TRIGGER, Trigger(TextSignal.ENTROPY, (1.2,), BACK, Scope.TOKEN, tokens=2, budget=3)]
    params = [SamplingParams(extra_args=request(t).to_extra_args()) for t in triggers] + [SamplingParams()]
    outputs: list[list[int]] = [[], [], []]
    added = [(row, params[row], [9], outputs[row]) for row in range(3)]
    processor.update_state(BatchUpdate(batch_size=3, removed=[], added=added, moved=[]))
    watches = [Watch(trigger, {END}) for trigger in triggers]
    states, counts = [EditState(VOCAB) for _ in triggers], [0, 0]
    for _ in range(60):
        logits = 2 * torch.randn(3, 8, generator=generator)
        plain = logits.clone()
        out = processor.apply(logits)
        assert torch.equal(out[2], plain[2])
        for row, (trigger, watch) in enumerate(zip(triggers, watches, strict=True)):
            text = plain[row].clone()
            text[[BACK, STEP]] = -torch.inf
            shares = text.softmax(-1)
            entropy = -float((shares * shares.clamp(min=1e-30).log()).sum())
            now = watch.edit_now(list(outputs[row]), entropy, entropy)
            allowed = (out[row] > -torch.inf).nonzero()[:, 0].tolist()
            assert allowed == ([trigger.edit_id] if now else [0, 1, 4, 5, 6, 7])
            counts[row] += now
            action = int(torch.multinomial(out[row].softmax(-1), 1, generator=generator))
            states[row].push(action)
            outputs[row][:] = states[row].live_ids  # as the scheduler rewinds it
        processor.update_state(None)
    assert counts[0] == 2
    assert counts[1] > 3


def test_a_preempted_request_keeps_what_was_read(processor):
    """It joins again with other lists: the budget is not given anew."""
    params = SamplingParams(extra_args=request().to_extra_args())
    processor.update_state(BatchUpdate(1, removed=[], added=[(0, params, [9], [])], moved=[]))
    (first,) = processor._erasures.values()
    processor.update_state(BatchUpdate(0, removed=[0], added=[], moved=[]))
    again = [5]
    processor.update_state(BatchUpdate(1, removed=[], added=[(0, params, [9], again)], moved=[]))
    assert processor._erasures[0] is first
    assert first.output_ids is again
