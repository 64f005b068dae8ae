"""How a request states its limits on edits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from halluc_plugin.decoding import Tabu
from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import EditVocabError, HallucError, SettingsError
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
from halluc_plugin.vllm_engine.request import KEYS, MOST, PREFIX, EditRequest, Length


@pytest.mark.parametrize(
    "request_",
    [
        EditRequest(EditVocab(backtrack=5)),
        EditRequest(EditVocab(5, step=6, step_delimiters=frozenset({1, 2}), restart=7), 0, Boundary.MASK),
        EditRequest(EditVocab(5), context=Context.HARD, tabu=True, budget=3),
        EditRequest(EditVocab(5), context=Context.HARD, tabu=Tabu.FIRST),
        EditRequest(EditVocab(5), context=Context.HARD, length=Length.COLLAPSED, max_actions=99),
    ],
)
def test_round_trip(request_):
    """Flat keys say everything, and other people's keys are left alone."""
    flat = request_.to_extra_args()
    assert all(key.startswith("halluc_") for key in flat)
    assert EditRequest.from_extra_args({"kv_transfer_params": {}, **flat}) == request_


def test_a_server_may_turn_true_into_one():
    """``vllm_xargs`` has no booleans."""
    flat = {"halluc_backtrack": 5, "halluc_context": "hard", "halluc_tabu": 1}
    assert EditRequest.from_extra_args(flat) == EditRequest(EditVocab(5), context=Context.HARD, tabu=True)


@pytest.mark.parametrize(
    ("written", "rule"), [(True, "last"), (0, "off"), ("off", "off"), ("last", "last"), ("first", "first")]
)
def test_tabu_is_a_name_or_a_truth_value(written, rule):
    """Requests that were written before the rules had names go on to mean the same."""
    request = EditRequest.from_extra_args({"halluc_backtrack": 5, "halluc_tabu": written})
    assert request == EditRequest(EditVocab(5), tabu=Tabu(rule))


def test_silent_requests_are_none_of_ours():
    """A request without our keys asks for nothing."""
    assert EditRequest.from_extra_args(None) is None
    assert EditRequest.from_extra_args({"other": 1}) is None


@pytest.mark.parametrize(
    ("extra_args", "error", "named"),
    [
        ({"halluc_backtrack": 5, "halluc_budgte": 2}, SettingsError, "Did you mean halluc_budget"),
        ({"halluc_budget": 2}, SettingsError, "without halluc_backtrack"),
        ({"halluc_backtrack": "5"}, SettingsError, "halluc_backtrack is '5', not an integer"),
        ({"halluc_backtrack": 5, "halluc_budget": -1}, SettingsError, "halluc_budget is -1"),
        ({"halluc_backtrack": 5, "halluc_budget": True}, SettingsError, "halluc_budget is True"),
        ({"halluc_backtrack": 5, "halluc_boundary": "msak"}, SettingsError, "Give one of: noop, mask"),
        ({"halluc_backtrack": 5, "halluc_step_delimiters": 3}, SettingsError, "not a list of ids"),
        ({"halluc_backtrack": 5, "halluc_context": "firm"}, SettingsError, "Give one of: soft, hard"),
        ({"halluc_backtrack": 5, "halluc_tabu": "yes"}, SettingsError, "halluc_tabu is 'yes'"),
        ({"halluc_backtrack": 5, "halluc_tabu": "frist"}, SettingsError, "Give one of: off, last, first"),
        ({"halluc_backtrack": 5, "halluc_max_actions": 0}, SettingsError, "halluc_max_actions is 0"),
        ({"halluc_backtrack": 5, "halluc_max_actions": 9}, SettingsError, "only there"),
        (
            {"halluc_backtrack": 5, "halluc_length": "collapsed", "halluc_max_actions": 9},
            SettingsError,
            "Add halluc_context=hard",
        ),
        (
            {"halluc_backtrack": 5, "halluc_length": "collapsed", "halluc_context": "hard"},
            SettingsError,
            "Give halluc_max_actions",
        ),
        ({"halluc_backtrack": 5, "halluc_step": 5}, EditVocabError, "share an id"),
        ({"halluc_backtrack": 3.0}, SettingsError, "halluc_backtrack is 3.0, not an integer"),
        ({"halluc_backtrack": math.nan}, SettingsError, "halluc_backtrack is nan, not an integer"),
        ({"halluc_backtrack": -1}, SettingsError, "halluc_backtrack is -1"),
        ({"halluc_backtrack": 2**31}, SettingsError, "halluc_backtrack is an integer of 32 bits"),
        ({"halluc_backtrack": 5, "halluc_budget": 10**5000}, SettingsError, "an integer of 16610 bits"),
        ({"halluc_backtrack": 5, "halluc_max_actions": -(2**64)}, SettingsError, "an integer of 65 bits"),
        ({"halluc_backtrack": 5, "halluc_tabu": 1.0}, SettingsError, "halluc_tabu is 1.0"),
        ({"halluc_backtrack": 5, "halluc_context": None}, SettingsError, "halluc_context is None"),
        ({"halluc_backtrack": 5, "halluc_length": ["raw"]}, SettingsError, r"halluc_length is \['raw'\]"),
        ({"halluc_backtrack": 5, "halluc_step_delimiters": [True]}, SettingsError, "is True, not an integer"),
        ({"halluc_backtrack": 5, "halluc_step": 6, "halluc_step_delimiters": [1, 1]}, SettingsError, "once"),
        ({"halluc_backtrack": 5, "halluc_step": 6, "halluc_step_delimiters": [6]}, EditVocabError, "also an"),
        ({"halluc_backtrack": 5, "Halluc-Budget": 2}, SettingsError, "Did you mean halluc_budget"),
        ({"halluc_backtrack": 5, " HALLUC_TABU": 2}, SettingsError, "Did you mean halluc_tabu"),
        ({"halluc_": 5}, SettingsError, "'halluc_', which does not exist"),
        ({"halluc_backtrack": 5, "halluc_\ud800": 2}, SettingsError, "which does not exist"),
        (["halluc_backtrack"], SettingsError, "extra_args is"),
    ],
)
def test_refuses(extra_args, error, named):
    """A mistake in a request is refused with a message that names it."""
    with pytest.raises(error, match=named):
        EditRequest.from_extra_args(extra_args)


NUMBERS = st.integers() | st.integers(-3, 60) | st.sampled_from([2**31, 2**63, 2**64, -(2**63)])
NUMBERS |= st.just(4400).map(lambda digits: 10**digits)  # which Python does not print
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=9)
JSON = st.recursive(
    SCALARS | st.sampled_from(["raw", "collapsed", "hard", "soft", "mask", "noop"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from([PREFIX + key for key in KEYS])
ODD_NAMES = NAMES.map(str.upper) | NAMES.map(lambda name: name.replace("_", "-"))
ODD_NAMES |= st.text().map(PREFIX.__add__)
SENT = st.dictionaries(NAMES, JSON) | st.dictionaries(NAMES | ODD_NAMES, JSON)
COMPLETE = st.just({"halluc_backtrack": 5})


@given(SENT, COMPLETE | st.just({}), st.integers(1, 99))
@example({"halluc_step": 7, "halluc_step_delimiters": [[[[[3]]]]]}, {"halluc_backtrack": 5}, 9)
@example({"halluc_budget": "\ud800" * 9999}, {"halluc_backtrack": 5}, 9)
def test_any_json_is_a_request_in_range_or_one_short_message(values, rest, vocab_size):
    """Whatever a client sends under our names either fits the vocabulary or is refused by our own error."""
    try:
        request = EditRequest.from_extra_args(values | rest)
        if request is None:
            assert not values | rest
            return
        request.check_ids(vocab_size)
    except HallucError as error:
        message = str(error)
        assert " Fix: " in message
        assert len(message.encode()) < 600
        return
    ids = request.vocab.edit_ids | request.vocab.step_delimiters
    assert all(type(token_id) is int and 0 <= token_id < vocab_size for token_id in ids)
    assert request.budget is None or 0 <= request.budget <= MOST
    assert request.max_actions is None or 1 <= request.max_actions <= MOST
    assert EditRequest.from_extra_args(json.loads(json.dumps(request.to_extra_args()))) == request


@pytest.mark.parametrize("role", ["backtrack", "step", "restart", "step_delimiters"])
def test_ids_that_the_model_does_not_have_are_named(role):
    """The last id of a model is accepted in every role, the one behind it is not."""
    roles = {"backtrack": 5, "step": 6, "step_delimiters": 7, "restart": 8}

    def request_with(token_id):
        ids = roles | {role: token_id}
        return EditRequest(EditVocab(**ids | {"step_delimiters": frozenset({ids["step_delimiters"]})}))

    request_with(9).check_ids(10)
    with pytest.raises(SettingsError, match=f"halluc_{role} names id 10, but the ids of the model end at 9"):
        request_with(10).check_ids(10)


@pytest.mark.parametrize(
    "setting", [{"budget": "3"}, {"budget": 2.0}, {"max_actions": True}, {"budget": 2**40}]
)
def test_a_request_made_in_python_is_held_to_the_same(setting):
    """Numbers that an engine could not be sent are refused where the request is made."""
    with pytest.raises(SettingsError, match=f"halluc_{next(iter(setting))} is "):
        EditRequest(EditVocab(5), **setting)


def test_numpy_integers_are_sent_as_integers():
    """Ids and numbers of numpy become plain ones, which every serialiser knows."""
    vocab = EditVocab(np.int64(5), restart=np.int32(7))
    flat = EditRequest(
        vocab, np.int64(3), context=Context.HARD, length=Length.COLLAPSED, max_actions=np.uint8(9)
    ).to_extra_args()
    assert json.loads(json.dumps(flat)) == flat
    assert EditRequest.from_extra_args(flat).max_actions == 9


def test_the_page_says_how():
    """The pages name every key of a request, and start the engine with what it needs."""
    page, edits = (
        (Path(__file__).parents[2] / "docs" / name).read_text() for name in ("engine.md", "edits.md")
    )
    assert all(f"`{PREFIX}{key}`" in page or f"`{key}`" in edits for key in KEYS)
    assert f"--scheduler-cls {ENGINE_ARGS['scheduler_cls']} " in page
    assert f"--logits-processors {ENGINE_ARGS['logits_processors'][0]}\n" in page
    assert "--no-async-scheduling" in page
