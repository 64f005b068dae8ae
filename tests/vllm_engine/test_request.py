"""How a request states its limits on edits."""

from pathlib import Path

import pytest

from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import EditVocabError, SettingsError
from halluc_plugin.settings import Context
from halluc_plugin.vllm_engine.hard import ENGINE_ARGS
from halluc_plugin.vllm_engine.request import KEYS, PREFIX, EditRequest, Length


@pytest.mark.parametrize(
    "request_",
    [
        EditRequest(EditVocab(backtrack=5)),
        EditRequest(EditVocab(5, step=6, step_delimiters=frozenset({1, 2}), restart=7), 0, Boundary.MASK),
        EditRequest(EditVocab(5), context=Context.HARD, tabu=True, budget=3),
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
    ],
)
def test_refuses(extra_args, error, named):
    """A mistake in a request is refused with a message that names it."""
    with pytest.raises(error, match=named):
        EditRequest.from_extra_args(extra_args)


def test_the_page_says_how():
    """docs/engine.md names every key of a request, and starts the engine with what it needs."""
    page = (Path(__file__).parents[2] / "docs" / "engine.md").read_text()
    assert all(f"`{PREFIX}{key}`" in page for key in KEYS)
    assert f"--scheduler-cls {ENGINE_ARGS['scheduler_cls']} " in page
    assert f"--logits-processors {ENGINE_ARGS['logits_processors'][0]}\n" in page
    assert "--no-async-scheduling" in page
