"""Rewards by hand: what is observed in a trace, what a verifier adds, what components pay."""

import math

import pytest
import torch

from halluc_plugin.credit import group_relative
from halluc_plugin.edits import EditVocab, resolve_row
from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import COMPONENTS, Answer, Marks, Verdict, component, judge_answer, observe, score
from halluc_plugin.settings import RewardSettings, load
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome

B = 1000
VOCAB = EditVocab(backtrack=B)
PROBLEM = {"numbers": [3, 5, 7], "target": 22}
ALL_ONES = RewardSettings(
    weights={"outcome": 1.0, "format": 1.0, "backtrack": 1.0}, alpha=0.4, beta=0.2, gamma=0.3
)


def decode(ids):
    """One character an id; the edit token is spelled '<'."""
    return "".join("<" if i == B else chr(i) for i in ids if chr(i) != "$")


def trace(text):
    """The trace of a text in which '<' deletes, '$' ends and a new line ends a step."""
    ids = [B if c == "<" else ord(c) for c in text]
    marks = Marks(frozenset({ord("\n")}), frozenset({ord("$")}))
    return observe(resolve_row(ids, VOCAB), 0, decode, marks)


def answer(text):
    """The judged trace."""
    return judge_answer(trace(text), CountdownVerifier(), PROBLEM)


def test_observes_texts_and_counts():
    """Two events, one of them half a no-op, and what was live before each."""
    seen = trace("ab<<<cd<e")
    assert (seen.raw, seen.final) == ("ab<<<cd<e", "ce")
    assert [seen.text_at[start] for start, _ in seen.states.events] == ["ab", "cd"]
    assert [seen.text_at[stop] for _, stop in seen.states.events] == ["", "c"]
    assert seen.counts() == {
        "num_backtracks": 3,
        "num_events": 2,
        "num_noops": 1,
        "num_erased": 3,
        "raw_length": 9,
        "resolved_length": 2,
        "backtracked": 1,
        "token_efficiency": 2 / 9,
    }


def test_an_event_that_erases_nothing_is_not_effective():
    """Edits on an empty response are counted as no-ops, not as backtracks or events."""
    seen = trace("<<a")
    assert (seen.num_backtracks, seen.num_events, seen.num_noops, seen.states.events) == (0, 0, 2, ())
    assert seen.counts()["backtracked"] == 0


def test_without_edits_raw_is_final():
    """An answer of the baseline is observed like any other."""
    seen = trace("ab")
    assert seen.final == seen.raw == "ab"
    assert seen.counts()["token_efficiency"] == 1.0


def test_rows_of_a_padded_batch_are_kept_apart():
    """Padding and other rows leave no trace in a row's texts."""
    from halluc_plugin.edits import resolve

    ids = torch.tensor([[ord("a"), B, ord("b"), 0, 0], [0, 0, ord("c"), ord("d"), B]])
    valid = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]], dtype=torch.bool)
    resolution = resolve(ids, valid, VOCAB)
    first, second = observe(resolution, 0, decode), observe(resolution, 1, decode)
    assert (first.final, first.raw, first.text_at) == ("b", "a<b", {1: "a", 2: ""})
    assert (second.final, second.raw, second.text_at) == ("c", "cd<", {4: "cd", 5: "c"})


def test_corrected_error():
    """3+5=9 was a wrong state and was undone: outcome, format and the whole backtrack reward but beta."""
    reward, parts = score(answer("3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n"), ALL_ONES)
    assert parts["outcome"] == parts["format"] == 1.0
    assert parts["backtrack"] == pytest.approx(0.4 + 0.3)
    assert reward == pytest.approx(2.7)


def test_unnecessary_backtrack():
    """3*5=15 was right when it was erased: no correction bonus, and beta is due."""
    _, parts = score(answer("3*5=15\n" + "<" * 7 + "3*5=15\n15+7=22\n"), ALL_ONES)
    assert parts["backtrack"] == pytest.approx(0.3 - 0.2)


def test_two_events_share_gamma():
    """A correct answer after two events earns gamma over root two; one of the two was unnecessary."""
    text = "3*5=15\n" + "<" * 7 + "3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n"
    _, parts = score(answer(text), ALL_ONES)
    assert parts["backtrack"] == pytest.approx(0.3 / math.sqrt(2) - 0.2)


def test_wrong_answer_earns_nothing_for_its_backtracks():
    """Undoing an error into another error pays nothing."""
    reward, parts = score(answer("3+5=9\n" + "<" * 6 + "3+5=8\n8+7=15\n"), ALL_ONES)
    assert (parts["outcome"], parts["format"], parts["backtrack"]) == (0.0, 1.0, 0.0)
    assert reward == 1.0


def test_no_answer():
    """Text that cannot be judged lacks the format too."""
    parts = score(answer("hello"), ALL_ONES)[1]
    assert (parts["outcome"], parts["format"], parts["backtrack"]) == (0.0, 0.0, 0.0)


def test_right_first_time():
    """Without events gamma is paid in full."""
    assert score(answer("3*5=15\n15+7=22\n"), ALL_ONES)[1]["backtrack"] == pytest.approx(0.3)


def test_raw_text_is_judged_apart():
    """The same actions are wrong as text and right when resolved."""
    judged = answer("9<3*5=15\n15+7=22\n")
    assert judged.final.outcome is Outcome.CORRECT
    assert judged.raw.outcome is Outcome.NO_ANSWER


def test_without_a_prefix_verifier_only_gamma_remains():
    """An incomplete prefix is never scored as an answer: no alpha, no beta."""
    verdict = Verdict.of(Outcome.CORRECT)
    unjudged = Answer(trace("9<3*5=15\n15+7=22\n"), verdict, verdict, event_values=None, steps=None)
    assert score(unjudged, ALL_ONES)[1]["backtrack"] == pytest.approx(0.3)


def test_the_default_pays_the_outcome_alone_and_reports_all():
    """Components without a weight are reported, not paid."""
    reward, parts = score(answer("3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n"), RewardSettings())
    assert reward == 1.0
    process = {"process", "process_min"}
    assert set(parts) == {"outcome", "format", "backtrack", "n_mars", "score_bonus", "length_cost"} | process


def test_only_right_answers_cost_what_they_are_long():
    """Twenty-seven actions, six of them edits, cost a half of a horizon of 54; a wrong answer nothing."""
    right, wrong = "3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n", "3+5=9\n"
    settings = load({"reward": {"parameters": {"length_cost": {"horizon": 54}}}}).reward
    assert score(answer(right), settings)[1]["length_cost"] == -len(right) / 54
    assert score(answer(wrong), settings)[1]["length_cost"] == 0.0
    assert score(answer(right), RewardSettings())[1]["length_cost"] == -len(right) / 1024
    with pytest.raises(SettingsError, match=r"length_cost.horizon is 0"):
        load({"reward": {"parameters": {"length_cost": {"horizon": 0}}}})


@pytest.mark.parametrize(
    ("steps", "least"), [((0.75, 0.25, 1.0), 0.25), ((0.75, 0.5, 0.0), 0.0), (None, 0.0)]
)
def test_the_min_form_pays_the_worst_step(steps, least):
    """No number of good steps makes up for a bad one; a wrong answer ends with 0."""
    verdict = Verdict.of(Outcome.CORRECT)
    judged = Answer(trace("3*5=15\n15+7=22\n"), verdict, verdict, event_values=(), steps=steps)
    assert score(judged, ALL_ONES)[1]["process_min"] == least


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("3*5=15\n15+7=22\n", 2.0),
        ("9<3*5=15\n15+7=22\n", 2.0),  # 1 edit of 18 actions
        ("3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n", 1.5),  # 6 of 28 are more than a fifth
        ("3*5=15\n", -2.0),
    ],
)
def test_n_mars_by_hand(text, reward):
    """Right within the budget of edits, right over it, and wrong."""
    assert score(answer(text), ALL_ONES)[1]["n_mars"] == reward


@pytest.mark.parametrize(
    ("text", "bonus"),
    [
        ("3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n", 1.0),
        ("3*5=15\n" + "<" * 7 + "3*5=15\n15+7=22\n", 0.0),
        ("3*5=15\n" + "<" * 7 + "3+5=9\n9+7=16\n", -1.0),
        ("3+5=9\n" + "<" * 6 + "3+5=8\n8+7=15\n", 0.0),
        ("3*5=15\n15+7=22\n", 0.0),
    ],
)
def test_score_bonus_by_hand(text, bonus):
    """Wrong made right, right left right, right made wrong, wrong left wrong; nothing without an event."""
    assert score(answer(text), ALL_ONES)[1]["score_bonus"] == bonus


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("3*5=15\n15+7=22\n$", 1.0),
        ("3*5=15\n15+7=22$", 1.0),  # the last step needs no delimiter
        ("3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n$", 1.0),  # what was erased is no step
        ("3*5=15\n15+7=23\n$", 0.5),
        ("3*5=15\n$", 0.0),  # one step, the answer, and it is wrong
        ("3*5=15\n15-7=8\n$", 0.5),
        ("3+5=8\n8+7=15\n$", 0.0),  # 22 is out of reach after the first step
        ("$", 0.0),
    ],
)
def test_process_by_hand(text, share):
    """The share of steps of the resolved answer before the first wrong one."""
    assert score(answer(text), ALL_ONES)[1]["process"] == share


def test_values_may_come_from_elsewhere():
    """Components read values of states, whoever estimated them: here a quarter before and a half after."""
    judged = judge_answer(
        trace("3+5=9\n" + "<" * 6 + "3*5=15\n15+7=22\n$"),
        CountdownVerifier(),
        PROBLEM,
        {6: 0.25, 12: 0.5, 19: 0.75},
    )
    parts = score(judged, ALL_ONES)[1]
    assert [(move.before, move.after, move.gain) for move in judged.event_values] == [(0.25, 0.5, 0.25)]
    assert parts["process"] == (0.75 + 1) / 2
    assert parts["backtrack"] == pytest.approx(0.4 * 0.75 - 0.2 * 0.25 + 0.3)
    assert parts["score_bonus"] == 0.75


def test_n_mars_is_the_outcome_to_a_group_within_its_budget():
    """The reward's parts change no advantage there; they do where a right answer is over the budget."""
    right, wrong = "3*5=15\n15+7=22\n", "3*5=15\n"
    over = "3+5=9\n" + "<" * 6 + right
    settings = RewardSettings(weights={"n_mars": 1.0})
    for texts, same in (([right, "9<" + right, wrong, wrong], True), ([right, over, wrong, wrong], False)):
        judged = [answer(text) for text in texts]
        paid, outcomes = (
            group_relative(
                torch.tensor(rewards, dtype=torch.float64), torch.zeros(4, dtype=torch.long), epsilon=0
            )
            for rewards in (
                [score(a, settings)[0] for a in judged],
                [score(a, RewardSettings())[0] for a in judged],
            )
        )
        assert torch.allclose(paid, outcomes) is same


@pytest.fixture
def restored_components():
    """The registry as it was."""
    before = dict(COMPONENTS)
    yield
    COMPONENTS.clear()
    COMPONENTS.update(before)


@pytest.mark.usefixtures("restored_components")
def test_a_component_of_ones_own():
    """A registered component can be given a weight by name, and a second of the name is refused."""

    @component("brevity")
    def brevity(judged, _):
        return -judged.trace.raw_length

    @component("patience", reads_values=True)
    def patience(judged, _):
        return float(len(judged.event_values or ()))

    assert load({"reward": {"weights": {"brevity": 1.0}}}).paid_values == ()
    assert load({"reward": {"weights": {"patience": 1.0}}}).paid_values == ("halluc.reward.weights.patience",)
    settings = load({"reward": {"weights": {"outcome": 1.0, "brevity": 0.01}}}).reward
    assert score(answer("3*5=15\n15+7=22\n"), settings)[0] == pytest.approx(1 - 0.15)
    with pytest.raises(SettingsError, match="Two reward components are named 'brevity'"):
        component("brevity")(lambda *_: 0.0)
