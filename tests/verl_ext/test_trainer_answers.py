"""The trainer pays single actions, keeps some answers, and warns of a blind start."""

import pytest

from halluc_plugin.errors import DataError, TraceError
from halluc_plugin.trace_log import logged_steps, read_step
from tests.verl_ext.step_queue import finished_step, info, queue

__all__ = ["finished_step", "queue"]  # fixtures


@pytest.fixture
def credited(queue):
    """The advantages of two answers to one prompt, ``1 2 <back> 3`` (right) and ``1 2`` (wrong)."""

    def run(mask=1.0, moves="[[0.0, 1.0]]", scores=(1.0, 0.0, 0.0), **halluc):
        batch = queue.fill(
            keys=["u_0_0", "u_1_0", "fill"],
            responses=["12<|BACKTRACK|>3", "12", "0"],
            masks=[[1.0, mask, 1.0, 1.0], [1.0, 1.0], [0.0]],
            advantages=[[0.5, 0.5 * mask, 0.5, 0.5], [-0.5, -0.5], [0.0]],
            scores=scores,
            infos=[info(moves=moves), info(moves="[]"), info(moves="null")],
        )
        metrics = {}
        assert queue.trainer(**halluc)._compute_advantage(batch, metrics) is batch
        return queue.put, metrics

    return run


def test_the_estimators_advantages_stay_by_default(credited):
    """Nothing is written, nothing fetched."""
    assert credited() == ({}, {})


@pytest.mark.parametrize("reward", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_stops_the_step(credited, reward):
    """Before any estimator sees it, whichever is selected; what fills up the batch is not looked at."""
    with pytest.raises(TraceError, match="1 of 2 rewards are no finite numbers"):
        credited(scores=(1.0, reward, 0.0))
    assert credited(scores=(1.0, 0.0, reward)) == ({}, {})


def test_edits_are_paid_their_gain(credited):
    """Alpha times the judged gain, on the edit, beside the answer's advantage; filling rows are left out."""
    put, metrics = credited(mask=0.0, credit={"alpha": 0.25})
    assert put == {"u_0_0": [0.5, 0.0, 0.75, 0.5], "u_1_0": [-0.5, -0.5]}
    shares = {"backtrack/degenerate/credit": 0.0, "backtrack/degenerate/credit_actions": 0.8}
    assert metrics == {"backtrack/event_gain": 1.0, **shares}


def test_edits_are_paid_by_the_group(credited):
    """Both answers passed "12", worth a half, and "1", worth a half: the event between them gains nothing."""
    put, metrics = credited(credit={"alpha": 0.25, "values": "prefix_tree"})
    assert put["u_0_0"] == [0.5, 0.5, 0.5, 0.5]
    shares = {"backtrack/degenerate/credit": 1.0, "backtrack/degenerate/credit_actions": 1.0}
    assert metrics == {"backtrack/event_gain": 0.0, **shares}


def test_text_is_paid_by_the_group(credited):
    """T-SPMO: "3" is where the answers part, and alone is paid; "12" behind the tree's fork loses as much."""
    credit = {"alpha": 1.0, "values": "prefix_tree", "units": "actions", "replaces": True}
    put, metrics = credited(credit=credit)
    assert put == {"u_0_0": [0.0, 0.0, 0.0, 0.5], "u_1_0": [0.0, 0.0]}
    assert metrics["backtrack/degenerate/credit"] == 0.0


def test_erased_tokens_are_turned_against(credited):
    """erased_tokens=negative: what was taken back loses what the answer gained."""
    put, metrics = credited(erased_tokens="negative")
    assert put == {"u_0_0": [0.5, -0.5, 0.5, 0.5], "u_1_0": [-0.5, -0.5]}
    assert metrics == {}


def test_credit_needs_values(credited):
    """An answer whose states nobody judged stops the run, with three ways out."""
    with pytest.raises(DataError, match=r"answer u_0_0.*values\.source=continuations.*prefix_tree"):
        credited(moves="null", credit={"alpha": 0.25})


def test_turns_are_paid_for_their_own_attempt(queue):
    """SCoRe's stages: verl's advantages give way to those of each turn; the request has none."""
    batch = queue.fill(
        keys=["u_0_0", "u_1_0", "fill"],
        responses=["12312", "12312", "0"],
        masks=[[1.0, 1.0, 0.0, 1.0, 1.0]] * 2 + [[0.0]],
        advantages=[[9.0] * 5] * 2 + [[0.0]],
        scores=(1.0, 1.0, 0.0),
        infos=[info(acc_without_edits=0.0), info(acc_without_edits=1.0), info()],
        turns=[[2, 3], [2, 3], None],
        ref=-1.5,
    )
    queue.loop("refine")
    trainer = queue.trainer(turns={"stage": "hold", "hold": 0.1})
    assert trainer._compute_advantage(batch, {}) is batch
    # Both second attempts are right; a log-prob of -0.5 has gained a nat on the start's.
    wanted = [-0.1, -0.1, 0.0, 0.0, 0.0]
    assert {key: [round(v, 6) for v in row] for key, row in queue.put.items()} == {
        "u_0_0": wanted,
        "u_1_0": wanted,
    }


def test_answers_are_logged(finished_step, tmp_path):
    """At most so many as asked, padding never, with what they earned and the advantage of each action."""
    finished_step()
    (trace,) = read_step(logged_steps(tmp_path)[3])
    assert (trace.answer, trace.reward, trace.scores["acc"]) == ("a", 1.0, 1.0)
    assert trace.tokens == ["1", "2", "<|BACKTRACK|>", "3"]
    assert trace.response_mask == [1, 0, 1, 1]
    assert trace.advantages == [0.5, 0.0, 0.5, 0.5]


def test_a_scorers_own_words_do_not_end_a_run(queue, tmp_path):
    """Beside its score a user's function may return None, a list or a text: only numbers are logged."""
    batch = queue.fill(
        keys=["a", "b"],
        responses=["12", "0"],
        masks=[[1.0, 1.0], [0.0]],
        advantages=[[0.5, 0.5], [0.0]],
        scores=[1.0, 0.0],
        infos=[{"score": 1.0, "pred": None, "tried": ["1"], "why": "x", "right": True}, {}],
    )
    queue.trainer()._compute_metrics(batch, {}, {}, global_steps=3, epoch=0)
    (logged,) = read_step(logged_steps(tmp_path)[3])
    assert logged.scores == {"score": 1.0, "right": 1.0}


def test_logging_can_be_switched_off(finished_step, tmp_path):
    """Nothing is fetched and nothing written."""
    finished_step(trace_log={"per_step": 0})
    assert not (tmp_path / "traces").exists()


@pytest.fixture
def first_answers(queue):
    """Answers of which half end a step in a dead end and half in live text, and none takes anything back."""
    half = ("12\n3", "1+2=3\n3")

    def at(step, texts=half * 100, **halluc):
        batch = queue.fill(
            keys=[*(f"u_{number}_0" for number in range(len(texts))), "fill"],
            responses=[*texts, "0"],
            masks=[[1.0]] * (len(texts) + 1),
            advantages=[[0.0]] * (len(texts) + 1),
            scores=[0.0] * (len(texts) + 1),
            infos=[info(moves="[]")] * (len(texts) + 1),
        )
        trainer = queue.trainer(**halluc)
        trainer.global_steps = step
        trainer._compute_advantage(batch, {})

    return at


def test_a_blind_start_is_told_before_the_first_update(first_answers, caplog):
    """D of the first step's answers, with its cause and cure, before an advantage is made of them."""
    first_answers(1)
    (told,) = [record.getMessage() for record in caplog.records if "D = " in record.getMessage()]
    assert "probability 0.00 where the goal is out of reach (100 places) and 0.00" in told
    assert "halluc.credit.alpha=1" in told


@pytest.mark.parametrize(
    ("step", "asked"),
    [
        (2, {}),
        (1, {"max_backtracks": 0}),
        (1, {"metrics": {"judged_per_step": 0}}),
        (1, {"texts": ["12\n3", "1+2=3\n3"] * 5}),
        (1, {"texts": ["12\n<|BACKTRACK|>", "1+2=3\n3"] * 100}),
    ],
)
def test_other_starts_are_left_in_peace(first_answers, caplog, step, asked):
    """A later step, edits that are banned, answers that are not judged or too few, and D = 1."""
    first_answers(step, **asked)
    assert not [record for record in caplog.records if "D = " in record.getMessage()]
