"""The pay of every action: values of states, units, and what each form makes of them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.credit import CreditForm, pay_actions, sampled_actions
from halluc_plugin.credit.states import judged_states, tree_states
from halluc_plugin.credit.units import divide
from halluc_plugin.edits import EditState, EditVocab, resolve_rows
from halluc_plugin.errors import TraceError

BACK = 9
VOCAB = EditVocab(BACK)


def paid(traces, rewards, *, groups=None, form=CreditForm.GAIN, places=None, known=None):
    """The pay of some traces, row by row, as lists of their own length."""
    groups = torch.zeros(len(traces), dtype=torch.long) if groups is None else torch.tensor(groups)
    rewards = torch.tensor(rewards, dtype=torch.float64)
    resolution = resolve_rows(traces, VOCAB)
    pay = pay_actions(resolution, groups, rewards, form=form, places=places, known=known)
    return [row[: len(trace)].tolist() for row, trace in zip(pay, traces, strict=True)]


def live_before(trace):
    """The live ids before each action and at the end."""
    state = EditState(VOCAB)
    states = [()]
    for token in trace:
        state.push(token)
        states.append(tuple(state.live_ids))
    return states


@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from([1, 2, BACK]), max_size=8), st.integers(0, 1), st.integers(0, 3)),
        min_size=1,
        max_size=6,
    )
)
def test_tree_states_are_mean_rewards_of_whole_prefixes(answers):
    """Every state of every trace has the mean reward of the group's answers that passed through it."""
    groups = list(dict.fromkeys(group for _, group, _ in answers))
    passed = {}
    for trace, group, reward in answers:
        for prefix in set(live_before(trace)):
            passed.setdefault((group, prefix), []).append(reward)
    found = tree_states(
        resolve_rows([trace for trace, _, _ in answers], VOCAB),
        torch.tensor([groups.index(group) for _, group, _ in answers]),
        torch.tensor([float(reward) for _, _, reward in answers]),
    )
    for row, (trace, group, _) in enumerate(answers):
        rewards = [passed[group, prefix] for prefix in live_before(trace)]
        assert found[row, : len(trace) + 1].tolist() == pytest.approx([sum(r) / len(r) for r in rewards])
        assert not found[row, len(trace) + 1 :].any()


def test_text_is_paid_where_answers_part():
    """Of 1 2, 1 3 and 4, rewards 1, 0, 0: the first action of 1 2 gains 1/2 - 1/3, the second 1 - 1/2."""
    gains = paid([[1, 2], [1, 3], [4]], [1, 0, 0])
    assert gains[0] == pytest.approx([1 / 6, 1 / 2])
    assert gains[1] == pytest.approx([1 / 6, -1 / 2])
    assert gains[2] == pytest.approx([-1 / 3])


def test_an_answer_alone_is_paid_nothing():
    """Neither is one whose group wrote the same, nor text that all answers share."""
    assert paid([[1, 2]], [1]) == [[0, 0]]
    assert paid([[1, 2], [1, 2], [3]], [1, 0, 1], groups=[0, 0, 1]) == [[0, 0], [0, 0], [0]]


def test_single_edits_are_paid_like_text():
    """An error that loses 1/3 of the value is undone by an edit that wins it back."""
    gains = paid([[5, BACK, 1], [5], [1]], [1, 0, 1])
    assert gains[0] == pytest.approx([1 / 2 - 2 / 3, 2 / 3 - 1 / 2, 1 - 2 / 3])


def test_units_lie_between_places():
    """Each action knows the states around its unit; the last unit ends with the trace."""
    units = divide(resolve_rows([[1, 2, 3, 4], [1]], VOCAB), [[2, 3], []])
    assert units.start[0].tolist() == [0, 0, 2, 3]
    assert units.stop[0].tolist() == [2, 2, 3, 4]
    assert units.first[0].tolist() == [True, False, True, True]
    assert units.first[1].tolist() == [True, False, False, False]
    assert (units.start[1, 0], units.stop[1, 0]) == (0, 1)


def test_steps_are_paid_the_difference_of_judged_values():
    """The bare prompt is worth what the other answer is; all actions of a step get all of its gain."""
    gains = paid([[1, 2, 3], [4]], [0, 0], places=[[2], []], known=[{2: 0.75, 3: 1.0}, {1: 0.5}])
    assert gains == [[0.25, 0.25, 0.25], [-0.5]]


def test_siblings_are_compared_in_units_of_their_deviation():
    """Of two steps at one state, rewards 1 and 0: ±1/2 over a deviation of 1/2; without contrast nothing."""
    traces, places = [[1, 2], [1, 3], [1, 3]], [[1], [1], [1]]
    gains = paid(traces[:2], [1, 0], form=CreditForm.SIBLINGS, places=places[:2])
    assert gains == [[0, 1], [0, -1]]
    assert paid(traces, [1, 1, 1], form=CreditForm.SIBLINGS, places=places) == [[0, 0]] * 3
    third = paid(traces, [1, 0, 0], form=CreditForm.SIBLINGS, places=places)
    assert third[0] == pytest.approx([0, (2 / 3) / (2 / 9) ** 0.5])


def test_the_least_to_come_goes_to_the_steps_up_to_the_worst():
    """Values 1, 0, 1/2 are rewards 1, -1, 0: softmin takes -1 for the first two steps, 0 for the last."""
    (pay, _) = paid(
        [[1, 2, 3], [4]], [0, 0], form=CreditForm.MIN, places=[[1, 2], []], known=[
            {1: 1.0, 2: 0.0, 3: 0.5}, {1: 0.5},
        ],
    )  # fmt: skip
    assert pay == pytest.approx([-1, -1, 0], abs=1e-3)


def test_what_was_erased_has_no_least_of_its_own():
    """An error and its edit get the return of what follows; the other answer's return is taken off."""
    known = [{1: 0.0, 2: 1.0, 3: 1.0}, {1: 0.0}]
    (undone, wrong) = paid([[5, BACK, 1], [5]], [1, 0], form=CreditForm.MIN, places=[[1, 2], []], known=known)
    assert undone == pytest.approx([2, 2, 2])
    assert wrong == pytest.approx([-2])


def test_a_verdict_falls_on_the_step_that_went_wrong():
    """Not on what follows it, nor on the edit that undoes it; a wrong step costs each of its actions 1."""
    known = [{2: 0.0, 3: 1.0, 4: 1.0}, {1: 1.0, 2: 0.0, 3: 0.0}]
    pays = paid(
        [[5, 6, BACK, 1], [1, 5, 6]], [1, 0], form=CreditForm.VERDICT, places=[[2, 3], [1, 2]], known=known
    )
    assert pays == [[-1, -1, 0, 0], [0, -1, 0]]


def test_an_action_is_paid_its_q_less_what_others_came_to():
    """Behind each action less the other answer's last value; nothing where nothing is live."""
    known = [{1: 2.0, 2: 9.0, 3: 4.0}, {1: -1.0}]
    assert paid([[1, BACK, 2], [3]], [0, 0], form=CreditForm.Q, known=known) == [[3, 0, 5], [-5]]
    known = [{1: 1.0, 2: 3.0, 3: 1.0, 4: 2.0}, {1: 0.5, 2: 7.0}]
    undone = paid([[1, 2, BACK, 4], [3, BACK]], [0, 0], form=CreditForm.Q, known=known)
    assert undone == [[-6, -4, -6, -5], [-1.5, 0]]


def test_an_answer_needs_a_value():
    """A judge that says nothing of the answer itself is refused."""
    with pytest.raises(TraceError, match="has 2 actions and values of the states"):
        judged_states(resolve_rows([[1, 2]], VOCAB), [{1: 1.0}], torch.zeros(1, dtype=torch.long))


def test_sampled_actions_are_a_share_of_the_later_ones():
    """The first ones always count, the draw is that of name and step, padding never counts."""
    keys = [f"u_{row}" for row in range(200)]
    drawn = sampled_actions(keys, [50] * 199 + [3], share=0.3, first=5, step=1)
    assert drawn[:, :3].all()
    assert not drawn[-1, 3:].any()
    share = drawn[:-1, 5:].double().mean()
    assert abs(float(share) - 0.3) < 0.02
    assert torch.equal(drawn, sampled_actions(keys, [50] * 199 + [3], share=0.3, first=5, step=1))
    assert not torch.equal(drawn, sampled_actions(keys, [50] * 199 + [3], share=0.3, first=5, step=2))
