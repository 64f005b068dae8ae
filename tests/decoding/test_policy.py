"""What one response may sample next, against the rule written out."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.decoding import EditPolicy, Tabu
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError

VOCAB = EditVocab(5, step=6, step_delimiters=frozenset({1}), restart=7)
ACTIONS = st.lists(st.sampled_from([1, 2, 3, 5, 5, 6, 7]), max_size=40)


class Rule:
    """The rule as it is told: every live prefix is a key, and nothing is remembered between questions."""

    def __init__(self, tabu, budget=None, boundary=Boundary.NOOP):
        self.tabu = tabu
        self.state, self.rejected, self.effective = EditState(VOCAB), defaultdict(set), 0
        self.budget, self.boundary = budget, boundary

    def push(self, token_id):
        """One action."""
        live = list(self.state.live_ids)
        if token_id in VOCAB.edit_ids and live and self.tabu is not Tabu.OFF:
            at = self.state.depth_after(token_id) if self.tabu is Tabu.FIRST else len(live) - 1
            self.rejected[tuple(live[:at])].add(live[at])
        self.effective += bool(self.state.push(token_id))

    def banned(self):
        """Ids that must not come next."""
        spent = self.budget is not None and self.effective >= self.budget
        closed = self.boundary is Boundary.MASK and not self.state.live_ids
        return self.rejected[tuple(self.state.live_ids)] | (VOCAB.edit_ids if spent or closed else set())


@given(
    ACTIONS,
    st.lists(st.integers(1, 5), min_size=1),
    st.none() | st.integers(0, 6),
    st.sampled_from(Boundary),
    st.sampled_from(Tabu),
)
def test_bans_are_those_of_the_rule(actions, sizes, budget, boundary, tabu):
    """Actions one by one or several at once, banned ones too: the same ids are banned as by the rule."""
    policy = EditPolicy(VOCAB, budget=budget, boundary=boundary, tabu=tabu)
    rule = Rule(tabu, budget, boundary)
    at = 0
    for size in sizes * len(actions):
        chunk, at = actions[at : at + size], at + size
        before, may_change = policy.banned(), policy.text_may_change_bans
        policy.extend(chunk)
        for token_id in chunk:
            rule.push(token_id)
        assert policy.banned() == rule.banned()
        assert policy.effective_edits == rule.effective
        if len(chunk) == 1 and chunk[0] not in VOCAB.edit_ids and not may_change:
            assert policy.banned() == before


@given(ACTIONS, st.integers(0, 40))
def test_text_at_once_is_text_one_by_one(actions, cut):
    """A state that takes several actions in one call knows what one knows that takes them singly."""
    whole, single = EditState(VOCAB), EditState(VOCAB)
    whole.extend(actions[:cut]).extend(iter(actions[cut:]))
    for token_id in actions:
        single.push(token_id)
    assert (whole.live_ids, whole.live_indices) == (single.live_ids, single.live_indices)
    assert whole.push(5) == single.push(5)


def erased_by_runs(actions):
    """Each maximal run of edits that erased something: what was left, and the first token it took."""
    state, before, runs = EditState(VOCAB), None, []
    for token_id in [*actions, None]:
        if token_id in VOCAB.edit_ids:
            before = list(state.live_ids) if before is None else before
        elif before is not None:
            left = len(state.live_ids)
            runs += [(tuple(before[:left]), before[left])] if left < len(before) else []
            before = None
        if token_id is not None:
            state.push(token_id)
    return state.live_ids, runs


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 5, 6, 7]), st.integers(0, 2)), max_size=40))
def test_first_bans_how_each_run_of_edits_began(choices):
    """Along any trace that obeys it, nested edits too: the first token of each span, at what was left."""
    policy, actions = EditPolicy(VOCAB, tabu=Tabu.FIRST), []
    for wanted, other in choices:
        live, runs = erased_by_runs(actions)
        banned = {token_id for left, token_id in runs if list(left) == live}
        assert policy.banned() == banned
        free = [token_id for token_id in (wanted, *(1, 2, 3)[other:], 5) if token_id not in banned]
        policy.push(free[0])
        actions.append(free[0])


@given(st.lists(st.sampled_from([1, 2, 3, 5]), max_size=40))
def test_both_rules_are_one_where_edits_take_one_token_back(actions):
    """Without step backtracks and restarts, first and last ban the same."""
    first, last = (EditPolicy(EditVocab(5), tabu=tabu) for tabu in (Tabu.FIRST, Tabu.LAST))
    for token_id in actions:
        first.push(token_id)
        last.push(token_id)
        assert first.banned() == last.banned()


@pytest.mark.parametrize(
    ("written", "rule"),
    [(True, Tabu.LAST), (False, Tabu.OFF), ("first", Tabu.FIRST), ("last", Tabu.LAST), ("off", Tabu.OFF)],
)
def test_tabu_is_written_as_a_name_or_as_true_and_false(written, rule):
    """True and false are what they were before the rules had names."""
    assert Tabu.of(written) is rule


@pytest.mark.parametrize("written", ["frist", "true", None, 1, ["first"]])
def test_another_tabu_is_refused(written):
    """The message names the rules."""
    with pytest.raises(SettingsError, match=r"Give one of: off, last, first; true is last"):
        EditPolicy(VOCAB, tabu=written)
