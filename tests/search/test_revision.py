"""Algorithm 1 by hand: 0 is EOS, 1 ends a step, the prompt is (9,)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.sampling.states import End, Response, Sample, Space, Writer
from halluc_plugin.scorers.steps import Spent, StepScores
from halluc_plugin.search import run
from halluc_plugin.search.guided import RatedResponse
from halluc_plugin.search.revision import Arm, Revising, revise, step_to_revise

PROMPT = (9,)
FIRST = (3, 1, 4, 1, 5, 0)
"""Three steps; the second one errs, by the values below."""
VALUES = {(): 0.5, (3, 1): 0.6, (3, 1, 4, 1): 0.2, FIRST: 0.1}


def rated(*values, logprobs=()):
    """An answer of one token a step with these values, that of the bare prompt first."""
    count = len(values) - 1
    ids = (*[1] * (count - 1), 0)
    response = Response(ids, logprobs or (-1.0,) * count)
    return RatedResponse(response, tuple((i,) for i in ids), values, finished=True)


def chosen(answer, **plan):
    """The step that a plan revises."""
    return step_to_revise(answer, Revising(**plan), np.random.default_rng(0))


class TestStep:
    """Which step is written anew."""

    def test_the_one_of_least_advantage(self):
        """Advantages are 0.1, -0.4, -0.1: the second step."""
        assert chosen(rated(0.5, 0.6, 0.2, 0.1)) == 2

    def test_the_first_step_has_an_advantage_over_the_bare_prompt(self):
        """Advantages are -0.3, 0, 0.1."""
        assert chosen(rated(0.5, 0.2, 0.2, 0.3)) == 1

    @pytest.mark.parametrize(
        ("omega", "step"), [(0.0, 3), (0.09, 3), (0.1, 2), (0.19, 2), (0.2, 1), (1.0, 1)]
    )
    def test_an_earlier_step_within_the_margin(self, omega, step):
        """Advantages are -0.1, -0.2, -0.3: the first that is at most omega above the least (eq. 16)."""
        assert chosen(rated(0.9, 0.8, 0.6, 0.3), omega=omega) == step

    def test_of_equals_the_first(self):
        """0.9 - 0.8 and 0.5 - 0.4 are the same loss, though not the same float."""
        assert chosen(rated(0.9, 0.8, 0.5, 0.4)) == 2
        assert chosen(rated(0.9, 0.8, 0.8, 0.7)) == 1

    def test_other_arms(self):
        """The first; the least likely; any of them, by the seed."""
        answer = rated(0.5, 0.6, 0.2, 0.1, logprobs=(-1.0, -0.5, -2.0))
        assert chosen(answer, arm=Arm.FIRST) == 1
        assert chosen(answer, arm=Arm.LIKELIHOOD) == 3
        rng = np.random.default_rng(0)
        drawn = {step_to_revise(answer, Revising(arm=Arm.RANDOM), rng) for _ in range(50)}
        assert drawn == {1, 2, 3}


class TestAlgorithm:
    """Revision after revision."""

    def test_two_revisions(self, space, script, values, guided):
        """Step 2 is revised, then step 3 of the better answer; p_des ends it before the third."""
        better, best = (3, 1, 6, 1, 5, 0), (3, 1, 6, 1, 7, 0)
        model = script({
            PROMPT: [(FIRST, -1.0)],
            (9, 3, 1): [((4, 1, 0), -1.0), ((6, 1, 5, 0), -1.0)],
            (9, 3, 1, 6, 1): [((5, 0), -1.0), ((7, 0), -1.0)],
        })  # fmt: skip
        rater = values({**VALUES, (3, 1, 6, 1): 0.7, better: 0.3, best: 0.9, (3, 1, 4, 1, 0): 0.2})
        told = []
        plan = Revising(n=2, revisions=5, p_des=0.9)
        result = guided(revise(PROMPT, space, plan, tell=told.append), model, rater)
        assert result.responses[0].ids == best
        assert sorted(one.ids for one in result.responses[1:]) == sorted(
            [FIRST, (3, 1, 4, 1, 0), better, better]
        )
        assert [(one.step, one.after.response.ids) for one in told] == [(2, better), (3, best)]
        assert result.cost.tokens == 6 + (3 + 4) + (2 + 2)

    def test_what_is_no_better_does_not_stay(self, space, script, values, guided):
        """Equal is not better: the same step of the same answer is revised again, and M ends it."""
        model = script({PROMPT: [(FIRST, -1.0)], (9, 3, 1): [((6, 0), -1.0)] * 3})
        rater = values({**VALUES, (3, 1, 6, 0): 0.1})
        result = guided(revise(PROMPT, space, Revising(n=1, revisions=3)), model, rater)
        assert result.responses[0].ids == FIRST
        assert model.calls == [[PROMPT], *[[(9, 3, 1)]] * 3]

    def test_a_good_first_answer_is_not_revised(self, space, script, values, guided):
        """It is worth p_des."""
        model = script({PROMPT: [(FIRST, -1.0)]})
        result = guided(revise(PROMPT, space, Revising(p_des=0.1)), model, values(VALUES))
        assert ([one.ids for one in result.responses], result.cost.tokens) == ([FIRST], 6)

    def test_without_revisions_the_first_answer_stands(self, space, script, values, guided):
        """M = 0."""
        model = script({PROMPT: [(FIRST, -1.0)]})
        result = guided(revise(PROMPT, space, Revising(revisions=0)), model, values(VALUES))
        assert [one.ids for one in result.responses] == [FIRST]

    def test_an_answer_that_was_cut_off_is_revised_where_it_was(self, space, script, values, guided):
        """What has no end is worth 0: its rest is written anew, though the step before lost a little, too."""
        model = script({PROMPT: [((3, 1, 4, 4), -1.0)], (9, 3, 1): [((5, 5, 5), -1.0), ((5, 0), -1.0)]})
        rater = values({(): 0.6, (3, 1): 0.5, (3, 1, 5, 0): 0.4})
        result = guided(revise(PROMPT, space, Revising(n=2, revisions=1)), model, rater)
        assert [one.ids for one in result.responses] == [(3, 1, 5, 0)]

    def test_an_answer_without_any_step_end_is_written_anew(self, space, script, values, guided):
        """Nothing can be rated: it begins again from the bare prompt, though p_des is 0."""
        model = script({PROMPT: [((3, 3), -1.0), ((4, 0), -1.0)]})
        result = guided(revise(PROMPT, space, Revising(n=1, revisions=1, p_des=0.0)), model, values({}))
        assert [one.ids for one in result.responses] == [(4, 0)]

    def test_a_given_answer_is_revised(self, space, script, values, guided):
        """Nothing is sampled for it, but what is kept of it is computed: 2 tokens behind a prompt of 1."""
        model = script({(9, 3, 1): [((8, 0), -1.0)]})
        first = Response(FIRST, (-1.0,) * 6)
        rater = values({**VALUES, (3, 1, 8, 0): 1.0})
        result = guided(revise(PROMPT, space, Revising(n=1, revisions=1), first=first), model, rater)
        assert result.responses[0].ids == (3, 1, 8, 0)
        assert (result.cost.tokens, result.cost.slots) == (2, 1 + 2 + 2)

    def test_a_scorer_of_turns_reads_what_was_revised_before(self, space, script, values, guided):
        """The first answer is rated by itself, new ones behind those that were revised, each shown once."""
        better, best = (3, 1, 6, 1, 5, 0), (3, 1, 6, 1, 7, 0)
        model = script({
            PROMPT: [(FIRST, -1.0)],
            (9, 3, 1): [((6, 1, 5, 0), -1.0)],
            (9, 3, 1, 6, 1): [((8, 0), -1.0), ((7, 0), -1.0)],
        })  # fmt: skip
        rater = values({**VALUES, (3, 1, 6, 1): 0.7, better: 0.3, best: 0.9, (3, 1, 6, 1, 8, 0): 0.2})
        seen, rate = [], rater.rate

        def watched(prompts, steps):
            seen.extend(map(tuple, prompts))
            return rate(prompts, steps)

        rater.rate = watched

        def reading(turns):
            return (*PROMPT, *(token for turn in turns for token in turn.response.ids))

        plan = Revising(n=1, revisions=5, p_des=0.9)
        result = guided(revise(PROMPT, space, plan, reading=reading), model, rater)
        assert result.responses[0].ids == best
        assert seen == [PROMPT, PROMPT + FIRST, *[PROMPT + FIRST + better] * 2]

    def test_prefixes_of_a_beam_are_no_turns(self, space):
        """A beam with a scorer of turns is refused before anything is sampled."""
        with pytest.raises(SettingsError, match="after earlier ones"):
            revise(PROMPT, space, Revising(width=2), reading=lambda _: PROMPT)

    def test_a_corrector_writes_the_suffix(self, space, script, values, guided):
        """The policy answers once; all behind is another model's, which pays for the prefix that it reads."""
        policy, corrector = script({PROMPT: [(FIRST, -1.0)]}), script({(9, 3, 1): [((8, 0), -1.0)]})
        plan = Revising(n=1, revisions=1, writer=Writer.CORRECTOR)
        rater = values({**VALUES, (3, 1, 8, 0): 1.0})
        result = guided(revise(PROMPT, space, plan), policy, rater, corrector=corrector)
        assert result.responses[0].ids == (3, 1, 8, 0)
        assert (result.cost.tokens, result.cost.slots) == (6, 1 + 6)
        assert (result.corrected.tokens, result.corrected.slots) == (2, 3 + 2)

    def test_a_beam_writes_the_suffix(self, space, script, values, guided):
        """Two proposals a step, of which the better is kept."""
        model = script({
            PROMPT: [(FIRST, -1.0)],
            (9, 3, 1): [((6, 1), -1.0), ((7, 1), -1.0)],
            (9, 3, 1, 7, 1): [((5, 0), -1.0), ((8, 0), -1.0)],
        })  # fmt: skip
        rater = values({**VALUES, (3, 1, 7, 1): 0.8, (3, 1, 7, 1, 8, 0): 0.9})
        result = guided(revise(PROMPT, space, Revising(n=2, revisions=1, width=1)), model, rater)
        assert result.responses[0].ids == (3, 1, 7, 1, 8, 0)

    @pytest.mark.parametrize(
        ("ids", "said"), [((0, 1), "goes on after"), ((3, 4), "2 tokens ends no step"), ((), "0 tokens")]
    )
    def test_an_answer_that_cannot_be_rated_is_refused(self, space, ids, said):
        """Before anything is sampled."""
        with pytest.raises(TraceError, match=said):
            revise(PROMPT, space, Revising(), first=Response(ids, (0.0,) * len(ids)))

    def test_the_least_likely_step_of_an_answer_of_unknown_likelihood_is_refused(self, space):
        """Ids alone do not say it."""
        with pytest.raises(TraceError, match="6 ids and 0 log-probabilities"):
            revise(PROMPT, space, Revising(arm=Arm.LIKELIHOOD), first=Response(FIRST))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"omega": -0.1}, "omega is -0.1"),
        ({"omega": float("nan")}, "omega is nan"),
        ({"p_des": 1.1}, "p_des is 1.1"),
        ({"p_des": -0.1}, "p_des is -0.1"),
        ({"n": 0}, "n is 0"),
        ({"revisions": -1}, "revisions -1"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_bad_plans(bad, said):
    """One line that names what is wrong."""
    with pytest.raises(SettingsError, match=said):
        Revising(**bad)


SPACE = Space(EditVocab(backtrack=2), frozenset({0}), frozenset({1}), max_tokens=8)


class Drawn:
    """A model that writes what hypothesis drew, cut to what is asked for."""

    def __init__(self, texts):
        self._texts = iter(texts * 100)
        self.calls = 0
        self.tokens = 0

    def sample(self, requests):
        """One text for each."""
        self.calls += 1
        return [self._one(request) for request in requests]

    def _one(self, request):
        text = next(self._texts)
        stop = next((at for at, i in enumerate(text, 1) if i in request.stop_ids), len(text))
        kept = tuple(text[:stop][: request.max_tokens])
        self.tokens += len(kept)
        end = SPACE.end(kept[-1]) if kept[-1] in request.stop_ids else End.LENGTH
        return Sample(kept, (-1.0,) * len(kept), end)


class Hashed:
    """Rates a prefix by its ids alone, as any scorer does."""

    def __init__(self):
        self.tokens = 0

    def rate(self, prompts, steps):
        """Any value, but always the same."""
        spent = [Spent(scorer_tokens=sum(map(len, response))) for response in steps]
        self.tokens += sum(one.scorer_tokens for one in spent)
        longest = max(map(len, steps))
        rows = []
        for response in steps:
            row = [hash(tuple(response[:i])) % 101 / 100 for i in range(len(response) + 1)]
            rows.append(row + [float("nan")] * (longest - len(response)))
        return StepScores(np.array(rows), spent)


@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=30),
    st.builds(
        Revising,
        n=st.integers(1, 3),
        revisions=st.integers(0, 4),
        omega=st.floats(0, 1),
        p_des=st.floats(0, 1),
        arm=st.sampled_from(Arm),
    ),
)
def test_invariants(texts, plan):
    """Final values never fall, revisions are at most M, a prefix is kept, and costs are of both models."""
    model, rater, told = Drawn(texts), Hashed(), []
    (result,) = run([revise(PROMPT, SPACE, plan, tell=told.append)], [PROMPT], model, rater=rater)
    assert len(told) <= plan.revisions
    assert model.calls == len(told) + 1
    for one in told:
        assert one.after.worth >= one.before.worth
        assert 1 <= one.step <= len(one.before.steps)
        kept = one.before.before(one.step).ids
        assert all(candidate.response.ids[: len(kept)] == kept for candidate in one.candidates)
        assert not one.before.finished or one.before.worth < plan.p_des
    assert (result.cost.tokens, result.cost.rated.scorer_tokens) == (model.tokens, rater.tokens)
    assert all(response.ids[-1] == 0 and 2 not in response.ids for response in result.responses)
    if told and told[-1].after.finished:
        assert result.responses[0] == told[-1].after.response
