"""OmegaPRM's choice of what is searched next, by hand; and its searches, on a policy that is known."""

import math

import pytest

from halluc_plugin.sampling.driver import run
from halluc_plugin.scorers.rollout_tree import exploration, search_errors, select, value
from halluc_plugin.scorers.rollouts import Rollout, Rollouts, State, judge_of
from halluc_plugin.verifiers import prefix_oracle


def searched(chains, p, *, steps, searches, n=32):
    """What is searched of one problem: the rollouts, and all that was sampled."""
    problem = chains.problem(steps)
    policy = chains.policy([problem], p)
    rollouts = Rollouts(problem.prompt, chains.space, judge_of(problem, chains.tokenizer))
    done = []

    def search():
        yield from rollouts.completed([()], 8)
        done.extend((yield from search_errors(rollouts, n, searches)))
        return []

    run([search()], [problem.prompt], policy)
    return problem, rollouts, done


def test_what_a_rollout_is_worth():
    """Equations 2 and 3 with the paper's constants, worked out by hand."""
    assert value(State(sampled=4, right=3), 50, 100) == pytest.approx(0.5**0.25 * math.sqrt(0.9))
    assert value(State(sampled=4, right=0), 100, 100) == pytest.approx(0.5 * 0.9)
    assert exploration(State(visits=3), 16) == pytest.approx(0.125)
    assert exploration(State(), 0) == 0


def test_the_wrong_rollout_of_the_best_state_is_chosen(chains):
    """The one of a state that mostly succeeds, until that was visited; never a right one, nor one twice."""
    rollouts = Rollouts((9,), chains.space, lambda _: False)
    rollouts.states = {(): State(4, 2), (5,): State(4, 3), (6,): State(4, 0), (7,): State(4, 4)}
    root, good, longer, right, lost = (
        Rollout(tuple(ids), start, is_right)
        for ids, start, is_right in (
            ([4, 4], 0, False),
            ([5, 4, 4], 1, False),
            ([5, *[4] * 60], 1, False),
            ([5, 4], 1, True),
            ([6, 4], 1, False),
        )
    )
    rollouts.found = [root, longer, good, right, lost]
    assert select(rollouts, set()) is good
    assert select(rollouts, {good.ids}) is longer
    assert select(rollouts, {good.ids, longer.ids}) is root
    assert select(rollouts, {good.ids, longer.ids, root.ids}) is None
    rollouts.states[(5,)].visits = 9  # U is 0.0375 there and 0.375 at the root
    assert select(rollouts, set()) is root


def test_searches_reuse_what_they_sampled(chains):
    """First errors are found in rollouts of the root and of later prefixes; none is searched twice."""
    problem, rollouts, done = searched(chains, 0.85, steps=8, searches=12)
    assert len(done) == len({rollout.ids for rollout in done}) == 12
    assert any(rollout.start for rollout in done)
    assert not any(rollout.right for rollout in done)
    decode = chains.tokenizer.decode
    alive = prefix_oracle(problem.verifier, problem.truth, decode, end_ids=())
    for prefix, state in rollouts.states.items():
        assert alive(prefix) == (state.right > 0)
    assert sum(state.visits for state in rollouts.states.values()) == 12


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_a_policy_that_is_always_or_never_right_is_not_searched(chains, p):
    """There is no state with 0 < MC < 1."""
    _, rollouts, done = searched(chains, p, steps=4, searches=3)
    assert done == []
    assert list(rollouts.states) == [()]
