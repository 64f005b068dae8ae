"""Each search by hand, on a scripted model: 0 is EOS, 1 ends a step, 2 takes back, the prompt is (9,)."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.decoding import Tabu
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.search import (
    Cost,
    End,
    Response,
    Rule,
    Sample,
    Space,
    breadth_first,
    depth_first,
    greedy,
    independent,
    run,
    select,
    self_backtracking,
)

PROMPT = (9,)


def found(search, sampler):
    """What one search finds."""
    (result,) = run([search], [PROMPT], sampler)
    return result


def ids(result):
    """Ids of the responses found."""
    return [response.ids for response in result.responses]


class TestSelfBacktracking:
    """Expansion, rolling back by a step, expansion again."""

    def test_a_step_is_rolled_back_and_expanded_again(self, space, script):
        """The first sample errs in its second step, which is redone; the second one is an answer at once."""
        model = script({
            PROMPT: [((3, 1, 4, 1, 2), -1.0), ((5, 0), -2.0)],
            (9, 3, 1): [((6, 0), -1.0), ((7, 1, 2), -1.0)],
        })  # fmt: skip
        result = found(self_backtracking(PROMPT, space, n=2, rounds=1), model)
        assert ids(result) == [(5, 0), (3, 1, 6, 0)]
        assert model.calls == [[PROMPT, PROMPT], [(9, 3, 1), (9, 3, 1)]]
        assert result.cost.tokens == 5 + 2 + 2 + 3

    def test_without_rounds_the_token_is_a_filter(self, space, script):
        """Samples that end in a backtrack are dropped."""
        model = script({PROMPT: [((3, 1, 2), -1.0), ((5, 0), -2.0)]})
        assert ids(found(self_backtracking(PROMPT, space, n=2, rounds=0), model)) == [(5, 0)]

    def test_an_unfinished_step_is_a_step(self, space, script):
        """An edit in the middle of a step takes back what there is of it."""
        model = script({PROMPT: [((3, 1, 4, 2), -1.0)], (9, 3, 1): [((0,), -1.0)]})
        assert ids(found(self_backtracking(PROMPT, space, n=1, rounds=3), model)) == [(3, 1, 0)]

    def test_a_state_is_expanded_once(self, space, script):
        """The root is never expanded again, nor a state of an earlier round; then the search ends."""
        model = script({
            PROMPT: [((3, 1, 4, 1, 2), -1.0)] * 2 + [((3, 2), -1.0)] * 2,
            (9, 3, 1): [((5, 2), -1.0)] * 4,
        })  # fmt: skip
        result = found(self_backtracking(PROMPT, space, n=4, rounds=9), model)
        assert ids(result) == []
        assert model.calls == [[PROMPT] * 4, [(9, 3, 1)] * 4]

    def test_the_likeliest_states_are_carried(self, space, script):
        """Of three states the root of four are expanded, with the samples spread over them."""
        model = script({
            PROMPT: [((3, 1, 4, 2), -3.0), ((5, 1, 4, 2), -1.0), ((6, 1, 4, 2), -2.0), ((0,), -9.0)],
            (9, 5, 1): [((0,), -1.0)] * 2,
            (9, 6, 1): [((0,), -1.0)] * 2,
        })  # fmt: skip
        model_result = found(self_backtracking(PROMPT, space, n=4, rounds=1), model)
        assert Counter(model.calls[1]) == {(9, 5, 1): 2, (9, 6, 1): 2}
        assert Counter(ids(model_result)) == {(0,): 1, (5, 1, 0): 2, (6, 1, 0): 2}

    def test_the_length_is_that_of_the_response(self, space, script):
        """After rolling back, what is left of the limit is what may be written."""
        seen = []

        class Model(script):
            def sample(self, requests):
                seen.extend(request.max_tokens for request in requests)
                return super().sample(requests)

        model = Model({PROMPT: [((3, 1, 4, 2), -1.0)], (9, 3, 1): [((0,), -1.0)]})
        found(self_backtracking(PROMPT, space, n=1, rounds=1), model)
        assert seen == [12, 10]

    @given(
        st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=40),
        st.integers(1, 6),
        st.integers(0, 3),
    )
    def test_invariants(self, texts, n, rounds):
        """Whatever a model samples: responses end by EOS and hold no edit, costs add up, rounds are few."""
        space = Space(EditVocab(backtrack=2), frozenset({0}), frozenset({1}), max_tokens=12)
        drawn = iter(texts * 40)
        expanded, sampled, calls = [], 0, 0

        class Model:
            def sample(self, requests):
                nonlocal sampled, calls
                calls += 1
                expanded.append({request.prefix for request in requests})
                samples = []
                for request in requests:
                    text = next(drawn)
                    stop = next((at for at, i in enumerate(text, 1) if i in request.stop_ids), len(text))
                    kept = tuple(text[:stop][: request.max_tokens])
                    end = space.end(kept[-1]) if kept[-1] in request.stop_ids else End.LENGTH
                    samples.append(Sample(kept, (-1.0,) * len(kept), end))
                    sampled += len(kept)
                return samples

        result = found(self_backtracking(PROMPT, space, n, rounds), Model())
        for response in result.responses:
            assert response.ids[-1] == 0
            assert 2 not in response.ids
            assert 0 not in response.ids[:-1]
            assert len(response.ids) == len(response.logprobs) <= space.max_tokens
        assert result.cost.tokens == sampled
        assert calls <= rounds + 1
        assert sum(map(len, expanded)) == len(set().union(*expanded))  # no state twice

    @pytest.mark.parametrize(("n", "rounds"), [(0, 1), (1, -1)])
    def test_bad_amounts(self, space, n, rounds):
        """At least one sample, and no negative number of rounds."""
        with pytest.raises(SettingsError, match="n is"):
            self_backtracking(PROMPT, space, n, rounds)


class TestBaselines:
    """Greedy, samples, trees."""

    def test_independent_samples(self, space, script):
        """Those that end by EOS."""
        model = script({PROMPT: [((3, 0), -1.0), ((4, 2), -1.0), ((3, 0), -1.0)]})
        assert ids(found(independent(PROMPT, space, 3), model)) == [(3, 0), (3, 0)]

    def test_greedy_asks_for_the_likeliest(self, space):
        """One sample at temperature 0."""
        (request,) = next(greedy(PROMPT, space))
        assert (request.temperature, request.prefix) == (0.0, PROMPT)

    def test_breadth_first(self, space, script):
        """Two proposals a state, one state kept: the likelier one; equal proposals are one child."""
        model = script({
            PROMPT: [((3, 1), -1.0), ((4, 1), -2.0)],
            (9, 3, 1): [((5, 0), -1.0), ((6, 2), -1.0)],
        })  # fmt: skip
        assert ids(found(breadth_first(PROMPT, space, 2, 1), model)) == [(3, 1, 5, 0)]
        assert model.calls == [[PROMPT] * 2, [(9, 3, 1)] * 2]

    def test_trees_with_an_oracle(self, space, script):
        """A state it rejects is not kept, however likely, nor a finished answer."""
        table = {PROMPT: [((3, 1), -1.0), ((4, 1), -2.0)], (9, 4, 1): [((5, 0), -1.0), ((6, 0), -1.0)]}
        oracle = lambda ids: ids[0] == 4 and ids[-1] != 5  # noqa: E731
        assert ids(found(breadth_first(PROMPT, space, 2, 1, oracle), script(table))) == [(4, 1, 6, 0)]
        assert ids(found(depth_first(PROMPT, space, 2, 9, oracle), script(table))) == [(4, 1, 6, 0)]

    def test_depth_first_returns_at_a_dead_end(self, space, script):
        """The likelier step leads nowhere, so the other one is followed; the first answer ends it."""
        model = script({
            PROMPT: [((3, 1), -1.0), ((4, 1), -2.0)],
            (9, 3, 1): [((5, 2), -1.0), ((6, 2), -1.0)],
            (9, 4, 1): [((7, 0), -1.0), ((8, 0), -0.5)],
        })  # fmt: skip
        assert ids(found(depth_first(PROMPT, space, 2, 9), model)) == [(4, 1, 8, 0)]
        assert [call[0] for call in model.calls] == [PROMPT, (9, 3, 1), (9, 4, 1)]

    def test_depth_first_has_a_budget_and_an_end(self, space, script):
        """No more states than allowed; nothing is found where nothing is left."""
        table = {PROMPT: [((3, 1), -1.0)], (9, 3, 1): [((5, 1), -1.0)]}
        model = script(table)
        assert ids(found(depth_first(PROMPT, space, 1, 2), model)) == []
        assert len(model.calls) == 2
        assert ids(found(depth_first(PROMPT, space, 1, 9), script({PROMPT: [((2,), -1.0)]}))) == []

    @pytest.mark.parametrize(
        "search",
        [
            lambda space: independent(PROMPT, space, 0),
            lambda space: breadth_first(PROMPT, space, 0, 1),
            lambda space: breadth_first(PROMPT, space, 1, 0),
            lambda space: depth_first(PROMPT, space, 1, 0),
        ],
    )
    def test_bad_amounts(self, space, search):
        """Refused before anything is sampled."""
        with pytest.raises(SettingsError, match="is 0"):
            search(space)


class TestDriver:
    """Many searches on one sampler."""

    def test_searches_share_calls_and_pay_apart(self, space, script):
        """Requests of all searches go out together; each has its own cost; a finished one asks no more."""
        model = script({
            (9,): [((3, 1, 4, 2), -1.0)], (9, 3, 1): [((0,), -1.0)], (8, 8): [((5, 0), -1.0)],
        })  # fmt: skip
        searches = [self_backtracking(p, space, 1, 1) for p in ((9,), (8, 8))]
        one, other = run(searches, [(9,), (8, 8)], model)
        assert model.calls == [[(9,), (8, 8)], [(9, 3, 1)]]
        assert (one.cost.tokens, other.cost.tokens) == (5, 2)
        # Slots: the prompt, 4 and 1 tokens; positions seen: 1; 2 to 5; 4.
        assert (one.cost.slots, one.cost.context) == (1 + 4 + 1, 1 + (2 + 3 + 4 + 5) + 4)
        shape = DecoderShape(hidden=2, kv=1, intermediate=3, layers=4)
        assert one.cost.flops(shape) == 4 * ((2 * 4 + 2 * 2 * 1 + 3 * 2 * 3) * 6 + 2 * 19)

    def test_a_prompt_for_each_search(self, space, script):
        """Else costs would be wrong."""
        with pytest.raises(TraceError, match="1 searches for 2 prompts"):
            run([greedy(PROMPT, space)], [PROMPT, PROMPT], script({}))

    def test_costs_start_at_nothing(self):
        """An empty search is free."""
        assert Cost() == Cost(tokens=0, context=0, slots=0)


class TestSelection:
    """Rules, by hand."""

    A = Response((3, 0), (-1.0, -1.0))
    A_AGAIN = Response((3, 3, 0), (-1.5, -1.5, -1.5))
    B = Response((4, 0), (-0.5, -0.5))
    NOTHING = Response((5, 0), (-0.1, -0.1))

    def canonical(self, response):
        """The first token; 5 is no answer."""
        return None if response.ids[0] == 5 else response.ids[0]

    def chosen(self, rule, *responses, **more):
        """The answer of a rule."""
        return select(responses, rule, self.canonical, **more)

    def test_mean_logprob(self):
        """The likeliest, whether or not it can be read, by the mean and not by the sum."""
        assert self.chosen(Rule.MEAN_LOGPROB, self.A, self.B, self.NOTHING) is self.NOTHING
        long = Response((6, 6, 6, 6, 0), (-0.4,) * 5)
        assert self.chosen(Rule.MEAN_LOGPROB, self.B, long) is long

    def test_majority(self):
        """Most votes win, of equals the likelier; what cannot be read abstains."""
        assert self.chosen(Rule.MAJORITY, self.B, self.A_AGAIN, self.A, self.NOTHING) is self.A
        assert self.chosen(Rule.MAJORITY, self.A, self.B) is self.B
        assert self.chosen(Rule.MAJORITY, self.NOTHING) is None

    def test_summed(self):
        """Probabilities add up: two fair ones beat a likelier one only if they are worth more together."""
        assert math.exp(-1) + math.exp(-1.5) < math.exp(-0.5)
        assert self.chosen(Rule.SUMMED, self.A, self.A_AGAIN, self.B) is self.B
        assert self.chosen(Rule.SUMMED, self.A, self.A, self.B) is self.A

    def test_verifier(self):
        """The scorer alone decides."""
        scorer = lambda responses: [len(r.ids) for r in responses]  # noqa: E731
        assert self.chosen(Rule.VERIFIER, self.A, self.A_AGAIN, self.B, scorer=scorer) is self.A_AGAIN

    @pytest.mark.parametrize("rule", list(Rule))
    def test_nothing_found(self, rule):
        """No answer."""
        assert self.chosen(rule) is None


@pytest.mark.parametrize(
    ("ids", "left"),
    [((), ()), ((3,), ()), ((3, 1), ()), ((3, 1, 4), (3, 1)), ((3, 1, 4, 1), (3, 1)), ((1, 1), (1,))],
)
def test_rolling_back_by_hand(ids, left):
    """The last step goes, complete or not."""
    response = Response(ids, (-1.0,) * len(ids)).without_last_step({1})
    assert (response.ids, len(response.logprobs)) == (left, len(left))


def test_an_id_has_one_role():
    """EOS, edits and ends of steps are told apart by id."""
    with pytest.raises(SettingsError, match="one role"):
        Space(EditVocab(backtrack=2), frozenset({2}), frozenset({1}), max_tokens=3)
    with pytest.raises(SettingsError, match="max_tokens is 0"):
        Space(EditVocab(backtrack=2), frozenset({0}), frozenset({1}), max_tokens=0)


class TestTabu:
    """What was taken back is not begun again, and samples begin differently."""

    def test_a_state_is_left_by_another_first_token(self, space, script):
        """The root is expanded again without what was taken back there, round by round."""
        asked = []

        class Model(script):
            def sample(self, requests):
                asked.extend((request.prefix, request.banned_first) for request in requests)
                return super().sample(requests)

        model = Model({
            PROMPT: [((3, 2), -1.0), ((4, 1, 5, 2), -1.0), ((6, 0), -1.0)],
            (9, 4, 1): [((2,), -1.0)],
        })  # fmt: skip
        tabu = replace(space, tabu=Tabu.FIRST)
        assert ids(found(self_backtracking(PROMPT, tabu, n=1, rounds=9), model)) == [(6, 0)]
        assert asked == [
            (PROMPT, frozenset()),
            (PROMPT, {3}),
            ((9, 4, 1), {5}),
            (PROMPT, {3, 4}),  # the edit at (4, 1) took that step back
        ]

    def test_an_edit_that_takes_nothing_back_expands_nothing_again(self, space, script):
        """On an empty response there is nothing to begin in another way."""
        model = script({PROMPT: [((2,), -1.0)]})
        tabu = replace(space, tabu=Tabu.FIRST)
        assert ids(found(self_backtracking(PROMPT, tabu, n=1, rounds=9), model)) == []

    def test_independent_samples_begin_differently(self, space, script):
        """One after the other, each without the first tokens of all before; edits are never tabu."""
        banned = []

        class Model(script):
            def sample(self, requests):
                banned.extend(request.banned_first for request in requests)
                return super().sample(requests)

        model = Model({PROMPT: [((3, 0), -1.0), ((2,), -1.0), ((4, 1, 2), -1.0), ((5, 0), -1.0)]})
        tabu = replace(space, tabu=Tabu.FIRST)
        assert ids(found(independent(PROMPT, tabu, n=4), model)) == [(3, 0), (5, 0)]
        assert banned == [frozenset(), {3}, {3}, {3, 4}]

    def test_the_other_rule_is_refused(self, space):
        """It would ban within samples."""
        with pytest.raises(SettingsError, match="tabu=last"):
            replace(space, tabu=Tabu.LAST)
