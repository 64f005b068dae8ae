"""Budget forcing: what is written before an answer may end, by hand, on a model that follows a table."""

import math

import pytest
import torch
from transformers import LogitsProcessorList, Qwen2Config, Qwen2ForCausalLM
from transformers.generation.logits_process import TemperatureLogitsWarper

from halluc_plugin.decoding import Context, Decoding, decode
from halluc_plugin.decoding.forcing import Forcing
from halluc_plugin.decoding.triggers import TextSignal, Trigger
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.vllm_engine.request import EditRequest

ASK, A, EOS, BACK, WA, IT = 1, 2, 3, 4, 5, 6
VOCAB = EditVocab(backtrack=BACK)
LIKED = {ASK: [A], A: [EOS, BACK], BACK: [A], IT: [A], EOS: [EOS], WA: [EOS]}
"""What comes behind each token; the second where the first is banned."""


@pytest.fixture(scope="module")
def model():
    """Writes A and ends; if it may not end, it takes A back and writes it again."""
    config = Qwen2Config(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=64,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()

    def forward(input_ids, **_):
        logits = torch.full((*input_ids.shape, 8), -50.0)
        for row, ids in enumerate(input_ids.tolist()):
            for column, token in enumerate(ids):
                for place, following in enumerate(LIKED[token]):
                    logits[row, column, following] = 50.0 - 20 * place
        return type("Output", (), {"logits": logits})()

    model.forward = forward
    return model


def written(model, forcing, context=Context.SOFT, rows=1, most=20, **more):
    """The traces of the model."""
    decoding = Decoding(VOCAB, most, context, eos_ids=frozenset({EOS}), forcing=forcing)
    return decode(model, [[ASK]] * rows, decoding, **more)


@pytest.mark.parametrize("context", list(Context))
def test_an_end_is_banned_until_so_many_edits(model, context):
    """Without forcing A and the end; each edit that is waited for takes A back once more."""
    assert written(model, None, context)[0].ids == [A, EOS]
    for edits in (1, 2, 3):
        (trace,) = written(model, Forcing(edits=edits), context)
        assert trace.ids == [A, BACK] * edits + [A, EOS]
        assert trace.logprobs == pytest.approx([0.0] * len(trace.ids), abs=1e-6)


@pytest.mark.parametrize("context", list(Context))
def test_ids_stand_in_the_place_of_an_end(model, context):
    """Two ends give way to "wait"; an edit may stand there, too, and counts once."""
    (trace,) = written(model, Forcing(edits=2, instead=(WA, IT)), context)
    assert trace.ids == [A, WA, IT, A, WA, IT, A, EOS]
    assert [trace.logprobs[at] for at in (1, 2, 4, 5)] == [0.0] * 4
    assert written(model, Forcing(edits=2, instead=(BACK,)), context)[0].ids == [A, BACK, A, BACK, A, EOS]


def test_what_stands_there_is_not_banned(model):
    """An edit is written though edits are banned; logits processors do not change it."""
    decoding = Decoding(
        VOCAB, 20, budget=0, eos_ids=frozenset({EOS}), forcing=Forcing(edits=1, instead=(BACK,))
    )
    processors = LogitsProcessorList([TemperatureLogitsWarper(2.0)])
    (trace,) = decode(model, [[ASK]], decoding, processors=processors)
    assert trace.ids == [A, BACK, A, EOS]


def test_a_verifier_lets_each_answer_end(model):
    """It says yes to the second answer at once, and to the others when they are two A long."""
    asked = []

    def accepts(response, live):
        asked.append((response, list(live)))
        return response == 1 or len(live) >= 4

    traces = written(model, Forcing(accepts=accepts, instead=(WA, IT)), rows=3)
    assert [trace.ids for trace in traces] == [[A, WA, IT, A, EOS], [A, EOS], [A, WA, IT, A, EOS]]
    # With ids in the place of an end it is asked where the model would end, and nowhere else.
    assert asked == [(0, [A]), (1, [A]), (2, [A]), (0, [A, WA, IT, A]), (2, [A, WA, IT, A])]


def test_either_lets_it_end(model):
    """A verifier's yes before the edits are there, or the edits before it says yes."""
    yes, no = (Forcing(edits=1, accepts=lambda *_, told=told: told) for told in (True, False))
    assert written(model, yes)[0].ids == [A, EOS]
    assert written(model, no)[0].ids == [A, BACK, A, EOS]


def test_an_answer_that_may_never_end_is_cut_off(model):
    """It has the largest number of actions, also in the midst of what stands in the place of an end."""
    never = Forcing(accepts=lambda *_: False)
    (trace,) = written(model, never, most=5)
    assert (trace.ids, str(trace.finish)) == ([A, BACK, A, BACK, A], "length")
    (trace,) = written(model, Forcing(edits=9, instead=(WA, IT)), most=5)
    assert (trace.ids, str(trace.finish)) == ([A, WA, IT, A, WA], "length")
    assert math.isfinite(sum(trace.logprobs))


@pytest.mark.parametrize(
    ("forcing", "more", "message"),
    [
        ({}, {}, "neither a number of edits nor a verifier"),
        ({"edits": 0}, {}, "until 0 edits holds nothing back"),
        ({"edits": 1}, {"eos_ids": frozenset()}, "without ids that end"),
        ({"edits": 2}, {"budget": 1}, "waits for 2 edits, and the budget is 1"),
        ({"edits": 1, "instead": (WA, EOS)}, {}, "hold one themselves"),
        (
            {"edits": 1},
            {"trigger": Trigger(TextSignal.ENTROPY, (0.0,), BACK), "context": Context.HARD},
            "A signal takes text back, and budget forcing waits",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(forcing, more, message):
    """One error with its fix, before anything is sampled."""
    with pytest.raises(SettingsError, match=message):
        Decoding(VOCAB, 8, forcing=Forcing(**forcing), **({"eos_ids": frozenset({EOS})} | more))


def test_vllm_refuses_it():
    """A request that asks for it is told where it is."""
    with pytest.raises(SettingsError, match="Decode with transformers"):
        EditRequest.from_extra_args({"halluc_backtrack": 4, "halluc_forcing": 2})
