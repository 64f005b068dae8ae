"""Trees by hand: 0 is EOS, 1 ends a step, the prompt is (9,)."""

import math

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.search.trees import Form, Growing, Reflection, tree_search

PROMPT = (9,)


class TestTSLLM:
    """PUCT, the value of what is expanded passed back."""

    def test_by_hand(self, space, script, values, guided):
        """Without exploration the most valuable child is taken, until its mean falls below the other's."""
        model = script({
            PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)],
            (9, 3, 1): [((5, 1), -1.0), ((5, 0), -1.0)],
            (9, 3, 1, 5, 1): [((6, 0), -1.0)] * 2,
            (9, 4, 1): [((7, 0), -1.0)] * 2,
        })  # fmt: skip
        # Simulations: the root; (3, 1), 0.6; its child (3, 1, 5, 1) of 0.2, so that (3, 1) has a mean of 0.4;
        # then (4, 1) of 0.5, under which the answer is worth 0.95.
        rater = values({
            (3, 1): 0.6, (4, 1): 0.5, (3, 1, 5, 1): 0.2, (3, 1, 5, 0): 0.1,
            (3, 1, 5, 1, 6, 0): 0.1, (4, 1, 7, 0): 0.95,
        })  # fmt: skip
        plan = Growing(n=2, simulations=9, exploration=0.0)
        result = guided(tree_search(PROMPT, space, plan), model, rater)
        assert [set(call) for call in model.calls] == [
            {PROMPT}, {(9, 3, 1)}, {(9, 3, 1, 5, 1)}, {(9, 4, 1)}
        ]  # fmt: skip
        assert result.responses[0].ids == (4, 1, 7, 0)
        assert {one.ids for one in result.responses[1:]} == {(3, 1, 5, 0), (3, 1, 5, 1, 6, 0)}

    def test_what_is_likely_is_explored(self, space, script, values, guided):
        """With a prior of e^-1 / (e^-1 + e^-3) = 0.88 against 0.12 the less valuable child comes first."""
        steps = [((3, 1), -0.5), ((4, 1), -1.5)]
        model = script({PROMPT: steps, (9, 3, 1): [((5, 0), -1.0)] * 2, (9, 4, 1): [((5, 0), -1.0)] * 2})
        rater = values({(3, 1): 0.5, (4, 1): 0.6})
        plan = Growing(n=2, simulations=2, exploration=1.0)
        guided(tree_search(PROMPT, space, plan), model, rater)
        assert set(model.calls[1]) == {(9, 3, 1)}  # 0.5 + 0.88 against 0.6 + 0.12

    def test_a_dead_end_is_worth_nothing(self, space, script, values, guided):
        """No child goes on: the way to it is left, and is not expanded again."""
        model = script({
            PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)],
            (9, 3, 1): [((5, 5), -1.0), ((2,), -1.0)],
            (9, 4, 1): [((5, 0), -1.0)] * 2,
        })  # fmt: skip
        rater = values({(3, 1): 0.6, (4, 1): 0.5, (4, 1, 5, 0): 1.0})
        result = guided(tree_search(PROMPT, space, Growing(n=2, exploration=0.0)), model, rater)
        assert [one.ids for one in result.responses] == [(4, 1, 5, 0)]


LATS = {"form": Form.LATS, "n": 2, "p_des": 0.9}


class TestLATS:
    """UCT, the value of an answer passed back."""

    def test_by_hand(self, space, script, values, guided):
        """The best child is followed to an answer; the other child is visited before that one again."""
        model = script({
            PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)],
            (9, 3, 1): [((5, 0), -1.0), ((6, 0), -1.0)],
            (9, 4, 1): [((7, 1), -1.0), ((7, 1), -1.0)],
            (9, 4, 1, 7, 1): [((8, 0), -1.0)] * 2,
        })  # fmt: skip
        rater = values(
            {(3, 1): 0.6, (4, 1): 0.5, (3, 1, 6, 0): 0.7, (3, 1, 5, 0): 0.1, (4, 1, 7, 1, 8, 0): 0.9}
        )
        result = guided(tree_search(PROMPT, space, Growing(**LATS)), model, rater)
        assert [set(call) for call in model.calls] == [
            {PROMPT}, {(9, 3, 1)}, {(9, 4, 1)}, {(9, 4, 1, 7, 1)}
        ]  # fmt: skip
        assert [one.ids for one in result.responses] == [(4, 1, 7, 1, 8, 0), (3, 1, 6, 0)]

    def test_a_reflection_goes_in_front(self, space, script, values, guided):
        """The first way ends below p_des; what the model says of it stands in the prompt from then on."""
        model = script({
            PROMPT: [((3, 1), -1.0), ((4, 1), -1.0)],
            (9, 3, 1): [((5, 0), -1.0)] * 2,
            (8, 3, 1, 5, 0): [((6, 6, 0), -1.0)],
            (7, 6, 6, 9, 4, 1): [((5, 0), -1.0)] * 2,
        })  # fmt: skip
        rater = values({(3, 1): 0.6, (4, 1): 0.5, (4, 1, 5, 0): 1.0})
        how = Reflection(
            ask=lambda answer: (8, *answer.ids),
            carry=lambda told: (*((7,) * len(told)), *(i for one in told for i in one), 9),
        )
        result = guided(tree_search(PROMPT, space, Growing(**LATS, reflection=how)), model, rater)
        assert result.responses[0].ids == (4, 1, 5, 0)
        assert all(steps[0][0] != 6 for call in rater.calls for steps in call)
        # Prompt 1, steps 2 + 2, ways 2 + 2, reflection 5 + 3, the new prompt with its step 6, ways 2 + 2.
        assert result.cost.slots == 1 + 4 + 4 + 5 + 3 + 6 + 4

    def test_a_child_that_is_an_answer_is_not_rated_again(self, space, script, values, guided):
        """It was rated when its parent was expanded."""
        model = script({PROMPT: [((3, 0), -1.0), ((4, 0), -1.0)] * 3})
        rater = values({(3, 0): 0.6, (4, 0): 0.5})
        result = guided(tree_search(PROMPT, space, Growing(**LATS, simulations=3)), model, rater)
        assert [one.ids for one in result.responses] == [(3, 0), (4, 0)]
        assert result.cost.rated.scorer_tokens == 2 * 3


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"n": 0}, "n is 0"),
        ({"simulations": 0}, "simulations 0"),
        ({"exploration": -1.0}, "exploration"),
        ({"exploration": math.nan}, "exploration"),
        ({"p_des": 2.0}, "p_des is 2"),
        ({"reflection": Reflection(lambda _: (), lambda _: ())}, "does not reflect"),
    ],
)
def test_bad_plans(bad, said):
    """One line that names what is wrong."""
    with pytest.raises(SettingsError, match=said):
        Growing(**bad)
