"""What one response may sample next, against the rule written out."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.decoding import EditPolicy
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.edits.builders import Boundary

VOCAB = EditVocab(5, step=6, step_delimiters=frozenset({1}), restart=7)
ACTIONS = st.lists(st.sampled_from([1, 2, 3, 5, 5, 6, 7]), max_size=40)


class Rule:
    """The rule as it is told: every live prefix is a key, and nothing is remembered between questions."""

    def __init__(self, budget, boundary):
        self.state, self.rejected, self.effective = EditState(VOCAB), defaultdict(set), 0
        self.budget, self.boundary = budget, boundary

    def push(self, token_id):
        """One action."""
        if token_id in VOCAB.edit_ids and self.state.live_ids:
            *prefix, last = self.state.live_ids
            self.rejected[tuple(prefix)].add(last)
        self.effective += bool(self.state.push(token_id))

    def banned(self):
        """Ids that must not come next."""
        spent = self.budget is not None and self.effective >= self.budget
        closed = self.boundary is Boundary.MASK and not self.state.live_ids
        return self.rejected[tuple(self.state.live_ids)] | (VOCAB.edit_ids if spent or closed else set())


@given(
    ACTIONS, st.lists(st.integers(1, 5), min_size=1), st.none() | st.integers(0, 6), st.sampled_from(Boundary)
)
def test_bans_are_those_of_the_rule(actions, sizes, budget, boundary):
    """Actions one by one or several at once, banned ones too: the same ids are banned as by the rule."""
    policy, rule = EditPolicy(VOCAB, budget=budget, boundary=boundary, tabu=True), Rule(budget, boundary)
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
