"""P(edit | dead), P(edit | live), D and AUC, against values by hand and against plain loops over stacks."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import MetricError
from halluc_plugin.metrics import StepEnd, discrimination, judge_ids, step_ends, wilson

DOT, BAD, BACK, STEP = 1, 9, 5, 6
VOCAB = EditVocab(BACK, step=STEP, step_delimiters=frozenset({DOT}), restart=7)


def oracle(live):
    """Dead once a 9 is live."""
    return BAD not in live


def places(ids, **options):
    """The places of one trace, as (dead, mass)."""
    (trace,) = judge_ids([ids], VOCAB, [oracle])
    return [(place.dead, place.mass) for place in step_ends(trace, {DOT}, **options)]


class TestPlaces:
    """Where the question is asked."""

    def test_behind_each_step_the_next_action_edits_or_not(self):
        """A live step goes on, a dead one is taken back, another dead one is not."""
        assert places([2, DOT, BAD, DOT, STEP, 3, BAD, DOT, 4]) == [(False, 0.0), (True, 1.0), (True, 0.0)]

    def test_a_second_edit_and_what_follows_an_edit_are_no_places(self):
        """After two step backtracks the text ends with a step again, which nobody has just written."""
        assert places([2, DOT, 3, DOT, BAD, DOT, STEP, STEP, 4]) == [(False, 0.0), (False, 0.0), (True, 1.0)]

    def test_an_answer_that_ends_there_gives_no_place(self):
        """Nothing was sampled behind its last delimiter; an EOS behind it is a decision not to edit."""
        assert places([BAD, DOT]) == []
        assert places([BAD, DOT, 0]) == [(True, 0.0)]

    def test_a_spent_budget_ends_the_places(self):
        """An edit on an empty response spends nothing; behind the one that does, none could follow."""
        trace = [BACK, BAD, DOT, STEP, BAD, DOT, 4, DOT, 4]
        assert places(trace, budget=1) == [(True, 1.0)]
        assert places(trace, budget=2) == places(trace) == [(True, 1.0), (True, 0.0), (True, 0.0)]
        assert places(trace, budget=0) == []

    def test_masses_are_read_at_the_next_action(self):
        """Where probabilities are known, what was sampled does not count."""
        assert places([2, DOT, BAD, DOT, 4], masses=[0.1, 0.2, 0.3, 0.4, 0.5]) == [(False, 0.3), (True, 0.5)]

    def test_given_columns_are_no_answers_of_the_model(self):
        """The first place is the one whose next action was sampled."""
        assert places([2, DOT, BAD, DOT, STEP], given=3) == [(True, 1.0)]

    def test_a_mass_is_a_probability(self):
        """Anything else is refused."""
        with pytest.raises(MetricError, match=r"mass of an edit is 1\.5"):
            StepEnd(dead=True, mass=1.5)

    @given(
        st.lists(st.lists(st.sampled_from([DOT, DOT, 2, BAD, BACK, STEP, 7]), max_size=25), max_size=4),
        st.none() | st.integers(0, 3),
    )
    def test_places_are_those_of_a_walk_along_the_stack(self, traces, budget):
        """One action after the other, the oracle asked of the live tokens themselves."""
        for ids in traces:
            state, spent, expected = EditState(VOCAB), 0, []
            for token, following in pairwise(ids):
                spent += bool(state.push(token))
                if budget is not None and spent >= budget:
                    break
                if token == DOT:
                    expected.append((not oracle(state.live_ids), float(following in VOCAB.edit_ids)))
            assert places(ids, budget=budget) == ([] if budget == 0 else expected)


def found(*traces):
    """The figures of traces given as lists of (dead, mass)."""
    return discrimination([[StepEnd(dead, mass) for dead, mass in trace] for trace in traces])


class TestFigures:
    """Of places that are known."""

    def test_rates_by_hand(self):
        """Three of four dead steps are taken back and one of five live ones, in traces of one place each."""
        rows = [[(True, 1.0)]] * 3 + [[(True, 0.0)]] + [[(False, 1.0)]] + [[(False, 0.0)]] * 4
        figures = found(*rows)
        assert (figures.dead.value, figures.dead.n) == (0.75, 4)
        assert (figures.dead.low, figures.dead.high) == pytest.approx(wilson(0.75, 4))
        assert (figures.live.value, figures.live.n) == (0.2, 5)
        assert figures.difference.value == pytest.approx(0.55)
        assert figures.auc.value == pytest.approx((1 + 0.55) / 2)
        # Newcombe's method 10 on Wilson's limits 0.3006, 0.9544 and 0.0362, 0.6245.
        assert figures.difference.low == pytest.approx(0.55 - math.hypot(0.4494, 0.4245), abs=1e-3)
        assert figures.difference.high == pytest.approx(0.55 + math.hypot(0.2044, 0.1638), abs=1e-3)

    def test_masses_rank_what_rates_cannot(self):
        """Small masses that are always in the right order: D is small, the AUC is 1."""
        figures = found([(True, 0.03), (False, 0.01)], [(True, 0.02), (False, 0.01)])
        assert figures.difference.value == pytest.approx(0.015)
        assert (figures.auc.value, figures.auc.high) == (1.0, 1.0)
        assert figures.auc.low == pytest.approx(wilson(1.0, 2)[0])

    def test_one_long_trace_counts_as_one(self):
        """Fifty places of one trace say as little as one."""
        figures = found([(True, 1.0)] * 50 + [(False, 0.0)] * 50)
        assert (figures.dead.low, figures.dead.high) == pytest.approx(wilson(1.0, 1))
        assert figures.auc.low == pytest.approx(wilson(1.0, 1)[0])

    def test_auc_of_clusters_by_hand(self):
        """Two traces, four places: Obuchowski's variance worked out on paper."""
        # Dead 0.9, 0.4; live 0.5, 0.1. Above: 1, 1/2; beaten by: 1/2, 1; AUC 3/4.
        # First trace holds 0.9 and 0.5: off by 1/4 and -1/4; the second one by -1/4 and 1/4.
        # S10/M = 2 (1/16 + 1/16) / 4 = 1/16, S01/N likewise, 2 S11/(MN) = 4 (-1/16 - 1/16) / 4 = -1/8: 0.
        figures = found([(True, 0.9), (False, 0.5)], [(True, 0.4), (False, 0.1)])
        assert figures.auc.value == 0.75
        assert (figures.auc.low, figures.auc.high) == pytest.approx(wilson(0.75, 2))
        # Each in a trace of its own: 2 (1/16 + 1/16) / 4 twice is 1/8, and 3/16 over it 3/2 places.
        apart = found([(True, 0.9)], [(False, 0.5)], [(True, 0.4)], [(False, 0.1)])
        assert (apart.auc.low, apart.auc.high) == pytest.approx(wilson(0.75, 1.5))

    @pytest.mark.parametrize("rows", [[], [[(True, 1.0)]], [[(False, 0.5)], []]])
    def test_without_both_kinds_of_places_nothing_is_known(self, rows):
        """D and AUC are nan, their intervals everything."""
        figures = found(*rows)
        assert math.isnan(figures.difference.value)
        assert (figures.difference.low, figures.difference.high) == (-1.0, 1.0)
        assert math.isnan(figures.auc.value)
        assert (figures.auc.low, figures.auc.high) == (0.0, 1.0)
        named = figures.as_metrics()
        assert all(math.isnan(named[name]) for name in ("d", "d_low", "d_high", "edit_auc"))
        assert named["step_ends_dead"] + named["step_ends_live"] == sum(map(len, rows))

    @given(
        st.lists(
            st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 1.0])), max_size=6), max_size=8
        )
    )
    def test_figures_are_those_of_loops_over_all_places(self, traces):
        """Means, their difference and the share of ordered pairs; limits around each."""
        figures = found(*traces)
        dead = [mass for trace in traces for kind, mass in trace if kind]
        live = [mass for trace in traces for kind, mass in trace if not kind]
        for share, masses in ((figures.dead, dead), (figures.live, live)):
            assert share.n == len(masses)
            assert share.low <= share.high
            if masses:
                assert share.value == pytest.approx(sum(masses) / len(masses))
                assert share.low - 1e-9 <= share.value <= share.high + 1e-9
        if dead and live:
            ordered = [1.0 if a > b else 0.5 if a == b else 0.0 for a in dead for b in live]
            assert figures.auc.value == pytest.approx(sum(ordered) / len(ordered))
            assert figures.auc.low <= figures.auc.value + 1e-9
            assert figures.auc.value <= figures.auc.high + 1e-9
            assert figures.difference.value == pytest.approx(figures.dead.value - figures.live.value)
            if {0.0, 1.0} >= {*dead, *live}:
                assert figures.auc.value == pytest.approx((1 + figures.difference.value) / 2)
