"""Text that a signal takes back: when, by hand; and in the engine of transformers, without training."""

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from halluc_plugin.decoding import Context, Decoding, decode
from halluc_plugin.decoding.signals import text_signal
from halluc_plugin.decoding.triggers import (
    Scope,
    StateSignal,
    TextSignal,
    Trigger,
    Watch,
    e3rl_like,
    lpsr_like,
)
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import SettingsError

END, BACK, STEP = 1, 2, 3
VOCAB = EditVocab(backtrack=BACK, step=STEP, step_delimiters=frozenset({END}))


def watched(trigger, states):
    """What a watch says of live texts with the value in each state, asked one after the other."""
    watch = Watch(trigger, {END})
    return [watch.edit_now(live, *values) for live, *values in states]


def test_a_step_by_its_mean():
    """The tokens 5 and END come from distributions of 4 and 1: a mean of 2.5 passes 2, and 3 does not."""
    states = [((), 4.0), ((5,), 1.0), ((5, END), 9.0), ((), 4.0), ((6,), 0.5), ((6, END), 0.0)]
    for threshold, passed in ((2.0, True), (3.0, False)):
        trigger = Trigger(TextSignal.ENTROPY, (threshold,), STEP)
        assert watched(trigger, states[:3]) == [False, False, passed]
    # Taken back, the state of before is not held against the threshold again; the budget of one is spent.
    trigger = Trigger(TextSignal.ENTROPY, (2.0,), STEP, budget=1)
    assert watched(trigger, states) == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("signal", "threshold", "passed"),
    [
        (StateSignal.PHASE_SHIFT, 0.85, True),
        (StateSignal.PHASE_SHIFT, 0.95, False),
        (StateSignal.HEAD, 0.15, True),
        (StateSignal.HEAD, 0.25, False),
    ],
)
def test_a_step_by_its_states(signal, threshold, passed):
    """Of 0.9, 0.1 and 0.2 at its tokens, behind a step of 1.0, a phase shift has 0.9 and a head 0.2."""
    head = (lambda states: states) if signal is StateSignal.HEAD else None
    trigger = Trigger(signal, (9.0, threshold), STEP, layer=1, head=head)
    states = [((), -1.0), ((END,), 1.0), ((END, 5), 0.9), ((END, 5, 6), 0.1), ((END, 5, 6, END), 0.2)]
    assert watched(trigger, states) == [False] * 4 + [passed]


def test_tokens_back_to_a_depth():
    """Three of four tokens are taken back one by one, and in a state asked twice the answer is the same."""
    trigger = Trigger(TextSignal.ENTROPY, (2.0,), BACK, Scope.TOKEN, tokens=3)
    states = [((), 0.0), ((5,), 0.0), ((5, 6), 0.0), ((5, 6, 7), 3.0), ((5, 6, 7, 8), 0.0)]
    back = [((5, 6, 7, 8), 0.0), ((5, 6, 7), 3.0), ((5, 6), 0.0), ((5,), 0.0)]
    assert watched(trigger, states + back) == [False] * 4 + [True] * 4 + [False]


def test_thresholds_by_the_number_of_steps():
    """The first step may have more entropy than the second; the last threshold holds for all that follow."""
    trigger = e3rl_like(VOCAB, [5.0, 1.0])
    states = [((), 4.0), ((END,), 4.0), ((END, END), 0.0)]
    assert watched(trigger, states) == [False, False, True]


def test_a_phase_shift_at_high_entropy():
    """Of a state the value is its own, and the entropy there must pass the gate, too."""
    trigger = lpsr_like(VOCAB, 0.0, gate=1.0, layer=1, tokens=1)
    assert watched(trigger, [((), 0.0, 9.0), ((5,), 0.5, 0.5), ((5, 6), 0.5, 2.0)]) == [False, False, True]


@pytest.fixture(scope="module")
def model():
    """A small model with opinions."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, max_position_embeddings=128, tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen3ForCausalLM(config).eval()
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(8)
    return model


def decoded(model, trigger, prompts=((4, 5), (6,), (7, 8, 9)) * 3, most=30):
    """Traces in hard context."""
    how = Decoding(
        VOCAB,
        most,
        context=Context.HARD,
        eos_ids=frozenset({0}),
        trigger=trigger,
        delimiters=frozenset({END}),
    )
    return decode(model, prompts, how, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def single_values(model, prompt, live, signal):
    """The value of each live token and of the next one's distribution, from passes of the live text."""
    output = model(torch.tensor([[*prompt, *live]]), output_hidden_states=True)
    logits, states = output.logits[0, len(prompt) - 1 :], output.hidden_states[1][0, len(prompt) - 1 :]
    if signal is TextSignal.ENTROPY:
        return text_signal(logits, TextSignal.ENTROPY, VOCAB.edit_ids).tolist()
    return [-1.0, *(-torch.cosine_similarity(states[:-1], states[1:], dim=-1)).tolist()]


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("signal", [TextSignal.ENTROPY, StateSignal.PHASE_SHIFT])
def test_the_engine_erases_where_recomputed_signals_say(model, signal, scope):
    """Each action against signals of plain passes over what was live: edits there, and nowhere else."""
    edit = STEP if scope is Scope.STEP else BACK
    threshold = {TextSignal.ENTROPY: 1.0, StateSignal.PHASE_SHIFT: -0.2}[signal]
    layer = None if signal is TextSignal.ENTROPY else 1
    trigger = Trigger(signal, (threshold,), edit, scope, tokens=2, budget=3, layer=layer)
    edits = 0
    for prompt, trace in zip(((4, 5), (6,), (7, 8, 9)) * 3, decoded(model, trigger), strict=True):
        state, watch = EditState(VOCAB), Watch(trigger, {END})
        for token, logprob in zip(trace.ids, trace.logprobs, strict=True):
            live = list(state.live_ids)
            value = single_values(model, prompt, live, signal)[-1]
            now = watch.edit_now(live, value)
            assert (token == edit) == now
            assert token not in VOCAB.edit_ids - {edit}
            assert not now or logprob == 0
            state.push(token)
            edits += now
    assert edits > 1


def test_a_head_is_read_at_the_last_token(model):
    """A head that always says 1 erases each step until its budget is spent; one that says 0 nothing."""
    for said, some in ((1.0, True), (0.0, False)):
        trigger = Trigger(
            StateSignal.HEAD, (0.5,), STEP, budget=2, layer=-1,
            head=lambda states, said=said: torch.full((len(states),), said),
        )  # fmt: skip
        counts = [trace.ids.count(STEP) for trace in decoded(model, trigger, most=60)]
        assert max(counts) == (2 if some else 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"context": Context.SOFT}, "takes text back in soft context"),
        ({"budget": 2}, "with a budget of 2 edits"),
        ({"temperature": 0.0}, "written again at temperature 0"),
        ({"vocab": EditVocab(backtrack=7)}, "which is not an edit"),
    ],
)
def test_settings_that_are_refused(given, message):
    """With the fix; tabu makes temperature 0 possible."""
    trigger = Trigger(TextSignal.ENTROPY, (1.0,), STEP)
    asked = {"vocab": VOCAB, "max_actions": 5, "context": Context.HARD, "trigger": trigger}
    with pytest.raises(SettingsError, match=message):
        Decoding(**{**asked, **given})
    assert Decoding(**asked, temperature=0.0, tabu=True).budget == 0


def test_triggers_that_are_refused():
    """Without a layer, without a head, with no threshold, and a step without a step backtrack."""
    for given in ({"signal": StateSignal.PHASE_SHIFT}, {"threshold": ()}, {"tokens": 0}, {"layer": 1}):
        with pytest.raises(SettingsError):
            Trigger(**{"signal": TextSignal.ENTROPY, "threshold": (1.0,), "edit_id": STEP, **given})
    with pytest.raises(SettingsError, match="without a head"):
        Trigger(StateSignal.HEAD, (1.0,), STEP, layer=1)
    with pytest.raises(SettingsError, match="no step backtrack"):
        e3rl_like(EditVocab(backtrack=BACK), [1.0])
