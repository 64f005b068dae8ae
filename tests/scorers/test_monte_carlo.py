"""Values by sampling: as often right as can be worked out, each prefix sampled once, and paid for exactly."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import End, Sample, Space
from halluc_plugin.scorers.monte_carlo import MonteCarloScorer, Probing
from halluc_plugin.scorers.rollouts import Rollouts, judge_of, step_prefixes

SHAPE = DecoderShape(hidden=8, kv=8, intermediate=16, layers=2)


@pytest.fixture(scope="session")
def scorer_of(chains):
    """Makes a scorer of a policy."""

    def scorer(policy, problems, **settings):
        return MonteCarloScorer(policy, chains.space, problems, chains.tokenizer, **settings)

    return scorer


def test_values_are_the_rate_of_success(chains, scorer_of):
    """Of 400 continuations as many are right as the closed form says, and none behind the first error."""
    problem, p, n = chains.problem(5), 0.8, 400
    scorer = scorer_of(chains.policy([problem], p), [problem], continuations=n)
    values = scorer.score([problem.prompt] * 2, [chains.answer(problem), chains.answer(problem, {3})])
    right = [p ** (5 - done) for done in range(5)]
    for value, expected in zip(values[0].tolist(), [*right, 1.0], strict=True):
        assert value == pytest.approx(expected, abs=4 * math.sqrt(0.25 / n))
    assert values[1, 3:].tolist() == [0, 0, 0]
    assert torch.equal(values[0, :3], values[1, :3])  # they share these prefixes


def test_each_prefix_is_sampled_once(chains, scorer_of):
    """In one call for all problems, again for nothing; whole responses are judged, not continued."""
    problems = [chains.problem(3, seed=0), chains.problem(4, seed=1)]
    policy = chains.policy(problems, 0.5)
    scorer = scorer_of(policy, problems, continuations=2)
    prompts = [problem.prompt for problem in problems for _ in range(2)]
    steps = [chains.answer(problem, wrong) for problem in problems for wrong in ((), {2})]
    first = scorer.rate(prompts, steps)
    assert len(policy.calls) == 1
    assert len(policy.calls[0]) == 2 * (4 + 6)  # prefixes of two answers that share the first line
    assert len(set(policy.calls[0])) == 10
    assert first.values[:2, 4:].isnan().all()
    again = scorer.rate(prompts, steps)
    assert len(policy.calls) == 1
    assert torch.equal(first.values.nan_to_num(9), again.values.nan_to_num(9))
    assert not any(spent.policy_tokens or spent.flops for spent in again.spent)


def test_the_first_of_two_responses_pays_for_what_they_share(chains, scorer_of):
    """Tokens of all continuations are paid once; FLOPs are those of continuations and of prefixes, once."""
    problem = chains.problem(2)
    policy = chains.policy([problem], 1.0)
    scorer = scorer_of(policy, [problem], continuations=3, shape=SHAPE)
    one, other = chains.answer(problem), chains.answer(problem, {2})
    whole = len(one[0]) + len(one[1])
    spent = scorer.rate([problem.prompt] * 2, [one, other]).spent
    assert spent[0].policy_tokens == 3 * whole + 3 * len(one[1])
    assert (spent[1].policy_tokens, spent[1].flops, spent[0].scorer_tokens) == (0, 0, 0)
    prompt, line = len(problem.prompt), len(one[0])
    slots = prompt + line + spent[0].policy_tokens
    context = sum(range(1, prompt + line + 1))
    for prefix, length in ((prompt, whole), (prompt + line, len(one[1]))):
        context += 3 * sum(range(prefix + 1, prefix + length + 1))
    assert spent[0].flops == SHAPE.flops(slots, context)
    later = scorer.rate([problem.prompt], [chains.answer(problem, {1})]).spent[0]
    begun = len(chains.answer(problem, {1})[0])
    assert later.policy_tokens == 3 * len(one[1])
    context = sum(range(prompt + 1, prompt + begun + 1))
    context += 3 * sum(range(prompt + begun + 1, prompt + begun + len(one[1]) + 1))
    assert later.flops == SHAPE.flops(begun + later.policy_tokens, context)


@settings(max_examples=40)
@given(steps=st.integers(1, 20), data=st.data())
def test_binary_search_finds_the_first_error(chains, steps, data):
    """With a policy that makes no errors itself, exactly, in about log2 of the steps."""
    wrong = data.draw(st.sets(st.integers(1, steps), min_size=1))
    problem = chains.problem(steps)
    policy = chains.policy([problem], 1.0)
    rollouts = Rollouts(problem.prompt, chains.space, judge_of(problem, chains.tokenizer))
    found = []

    def search():
        found.append((yield from rollouts.first_error(step_prefixes(chains.answer(problem, wrong)), 2)))
        return []

    run([search()], [problem.prompt], policy)
    assert found == [min(wrong)]
    assert len(rollouts.states) <= math.ceil(math.log2(steps))
    assert sum(map(len, policy.calls)) == 2 * len(rollouts.states)


def test_a_scorer_that_searches_gives_values_to_all_steps(chains, scorer_of):
    """A step that was not looked at has the value before it; from the first error on all have 0."""
    problem = chains.problem(8)
    policy = chains.policy([problem], 1.0)
    scorer = scorer_of(policy, [problem], continuations=2, probing=Probing.BINARY)
    wrong, right = chains.answer(problem, {6}), chains.answer(problem)
    values = scorer.score([problem.prompt] * 2, [wrong, right])
    assert values.tolist() == [[1, 1, 1, 1, 1, 1, 0, 0, 0], [1] * 9]
    assert sum(map(len, policy.calls)) == 2 * (1 + 3)  # the prompt, and prefixes of 4, 6 and 5 steps


def test_what_does_not_end_is_wrong(chains):
    """Continuations that reach the limit, or that an edit ends, are not right and are not kept."""
    problem = chains.problem(2)

    class Endless:
        def sample(self, requests):
            return [Sample((chains.new_line, 7), (-1.0, -1.0), End.LENGTH) for _ in requests]

    rollouts = Rollouts(problem.prompt, chains.space, judge_of(problem, chains.tokenizer))

    def search():
        yield from rollouts.completed([()], 3)
        return []

    run([search()], [problem.prompt], Endless())
    assert (rollouts.states[()].sampled, rollouts.value(()), rollouts.found) == (3, 0.0, [])


def test_bad_input_is_refused_before_anything_is_sampled(chains, scorer_of):
    """No continuations, equal ones, an empty step, an unknown problem, no room; two truths of one prompt."""
    problem = chains.problem(3)
    policy = chains.policy([problem], 0.5)
    steps = chains.answer(problem)
    with pytest.raises(SettingsError, match="0 continuations"):
        scorer_of(policy, [problem], continuations=0)
    greedy = Space(
        chains.space.vocab,
        chains.space.eos_ids,
        chains.space.delimiters,
        200,
        temperature=0,
        edits_banned=True,
    )
    with pytest.raises(SettingsError, match="temperature 0"):
        MonteCarloScorer(policy, greedy, [problem], chains.tokenizer)
    with pytest.raises(DataError, match="one prompt and other truths"):
        scorer_of(policy, [problem, PosedProblem(problem.prompt, {}, problem.verifier)])
    scorer = scorer_of(policy, [problem])
    with pytest.raises(DataError, match="1 prompts for 2 responses"):
        scorer.rate([problem.prompt], [steps, steps])
    with pytest.raises(DataError, match="Step 2 of response 1 is empty"):
        scorer.rate([problem.prompt] * 2, [steps, [steps[0], ()]])
    with pytest.raises(DataError, match="response 1 is none of the scorer's problems"):
        scorer.rate([problem.prompt, (5, 6)], [steps, steps])
    with pytest.raises(SettingsError, match="250 tokens is to be continued within 200"):
        scorer.rate([problem.prompt] * 2, [steps, [(7,) * 250]])
    assert policy.calls == []
    assert (
        scorer.score([problem.prompt], [[(7,) * 250 + (chains.eos,)]])[0, 1] == 0
    )  # a whole one needs no room
