"""Countdown: problems, splits, verifier, errors and traces, against brute force and by hand."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.tasks import find_verifier
from halluc_plugin.tasks.countdown.errors import ErrorKind, ErrorMix, after, replay, wrong_steps
from halluc_plugin.tasks.countdown.problems import (
    CountdownSettings,
    Split,
    draw_variants,
    generate,
    new_targets,
)
from halluc_plugin.tasks.countdown.solver import apply, reachable, solutions
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome, PrefixVerifier

PROBLEM = {"numbers": [3, 5, 7], "target": 22}
VERIFIER = CountdownVerifier()


def by_expressions(numbers, target):
    """Independent oracle: all expression trees in exact fractions, every value a positive integer."""

    def values(group):
        if len(group) == 1:
            return {group[0]}
        found = set()
        for size in range(1, len(group)):
            for left in itertools.combinations(range(len(group)), size):
                a = tuple(group[i] for i in left)
                b = tuple(group[i] for i in range(len(group)) if i not in left)
                for x, y in itertools.product(values(a), values(b)):
                    results = (Fraction(x + y), Fraction(x - y), Fraction(x * y), Fraction(x, y))
                    found |= {int(r) for r in results if r > 0 and r.denominator == 1}
        return found

    return target in values(tuple(numbers))


def test_solver_agrees_with_all_expressions():
    """Reachability equals brute force over expression trees, and every listed solution is right."""
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(300):
        numbers = tuple(sorted(rng.integers(1, 13, 3).tolist()))
        target = int(rng.integers(1, 40))
        expected = by_expressions(numbers, target)
        answers.append(expected)
        assert reachable(numbers, target) == expected
        for path in itertools.islice(solutions(numbers, target), 5):
            text = "".join(f"{a}{op}{b}={c}\n" for a, op, b, c in path)
            assert VERIFIER.verify({"numbers": numbers, "target": target}, text) is Outcome.CORRECT
    assert 30 < sum(answers) < 270


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("3*5=15\n15+7=22\n", Outcome.CORRECT),
        ("3 * 5 = 15\n\n15 + 7 = 22", Outcome.CORRECT),
        ("3*5=15\n", Outcome.WRONG),  # seven is not used
        ("3*5=16\n16+7=23\n", Outcome.WRONG),
        ("3*5=15\n15+7=22\n22+0=22\n", Outcome.WRONG),
        ("3*3=9\n9+5=14\n", Outcome.WRONG),  # one three was given
        ("15+7=22\n3*5=15\n", Outcome.WRONG),  # order matters
        ("", Outcome.NO_ANSWER),
        ("the answer is 22", Outcome.NO_ANSWER),
        ("3*5=15<|BACKTRACK|>", Outcome.NO_ANSWER),
    ],
)
def test_verdicts(answer, outcome):
    """Each number is used exactly once and each equation holds, or the answer is wrong."""
    assert VERIFIER.verify(PROBLEM, answer) is outcome


def test_equal_operands_are_counted_one_by_one():
    """Using one copy of a number leaves the other, and one copy is not two operands."""
    problem = {"numbers": [4, 4, 2], "target": 10}
    assert VERIFIER.verify(problem, "4+2=6\n6+4=10\n") is Outcome.CORRECT
    assert VERIFIER.verify({"numbers": [4, 2, 3], "target": 8}, "4+4=8\n") is Outcome.WRONG


@pytest.mark.parametrize(
    ("prefix", "ok"),
    [
        ("", True),
        ("3", True),
        ("3+", False),  # 8 and 7 give 15, 1, 56; 10 and 5 give 15, 5, 50, 2
        ("3*5=15", True),
        ("3*5=15\n", True),
        ("3*5=1", True),  # may become 15
        ("3*5=16", False),
        ("3*5=15\n15+7=22\n", True),
        ("3*5=15\n15-7=8\n", False),
        ("9", False),
        ("x", False),
    ],
)
def test_prefixes(prefix, ok):
    """A prefix is right if some right answer begins with it."""
    answers = ["".join(f"{a}{op}{b}={c}\n" for a, op, b, c in path) for path in solutions((3, 5, 7), 22)]
    assert VERIFIER.prefix_ok(PROBLEM, prefix) is ok
    assert any(answer.startswith(prefix) for answer in answers) is ok


def test_the_verifier_is_found_by_source():
    """Rows name it by their data source; it judges prefixes too."""
    found = find_verifier("halluc/countdown")
    assert isinstance(found, PrefixVerifier)
    assert find_verifier("openai/gsm8k") is None


class TestProblems:
    """Drawing problems."""

    SETTINGS = CountdownSettings(seed=3)

    def test_every_problem_can_be_solved_by_its_path(self):
        """The drawn path is a right answer within the allowed range, and operands are as asked."""
        for problem in generate(self.SETTINGS, Split.TRAIN, 300):
            text = "".join(f"{a}{op}{b}={c}\n" for a, op, b, c in problem.solution)
            truth = {"numbers": problem.numbers, "target": problem.target}
            assert VERIFIER.verify(truth, text) is Outcome.CORRECT
            assert all(1 <= n <= 25 for n in problem.numbers)
            assert 10 <= problem.target <= 100
            assert all(c <= 100 for *_, c in problem.solution)

    def test_splits_share_nothing(self):
        """No problem is in two splits, and new targets never occur in the other two."""
        drawn = {split: generate(self.SETTINGS, split, 300) for split in Split}
        keys = {split: {p.key for p in problems} for split, problems in drawn.items()}
        assert all(len(k) == 300 for k in keys.values())
        for a, b in itertools.combinations(Split, 2):
            assert not keys[a] & keys[b]
        held_out = new_targets(self.SETTINGS)
        assert len(held_out) == 9  # a tenth of 91
        assert {p.target for p in drawn[Split.TEST_NEW]} <= held_out
        assert not held_out & {p.target for s in (Split.TRAIN, Split.TEST_SEEN) for p in drawn[s]}

    def test_the_seed_decides(self):
        """The same seed draws the same problems, another seed others; more are an extension of fewer."""
        few, more = (generate(self.SETTINGS, Split.TRAIN, n) for n in (50, 80))
        assert more[:50] == few
        assert generate(CountdownSettings(seed=4), Split.TRAIN, 50) != few

    def test_variants_are_one_problem(self):
        """Numbers in another order or another solution, each right, of one multiset and target."""
        drawn = draw_variants(self.SETTINGS, Split.TRAIN, 3000, 3)
        assert [first.key for first, *_ in drawn] == [
            p.key for p in generate(self.SETTINGS, Split.TRAIN, 3000)
        ]
        assert {len(variants) for variants in drawn} == {1, 2, 3}
        for variants in drawn:
            assert len({variant.key for variant in variants}) == 1
            assert len(set(variants)) == len(variants)

    @pytest.mark.parametrize("numbers", [4, 5, 6])
    def test_more_numbers(self, numbers):
        """Problems of four to six numbers are solvable too."""
        for problem in generate(CountdownSettings(numbers=numbers), Split.TRAIN, 20):
            assert len(problem.numbers) == numbers
            assert reachable(*problem.key)

    def test_too_many_are_refused(self):
        """A count beyond what exists ends with a message, not with an endless loop."""
        with pytest.raises(SettingsError, match="distinct train problems of 500 wanted"):
            generate(
                CountdownSettings(largest_operand=2, smallest_target=1, largest_target=3), Split.TRAIN, 500
            )

    @pytest.mark.parametrize(
        "settings", [{"numbers": 2}, {"largest_operand": 1}, {"smallest_target": 50, "largest_target": 40}]
    )
    def test_bad_settings_are_refused(self, settings):
        """Values out of range are named."""
        with pytest.raises(SettingsError):
            CountdownSettings(**settings)


class TestErrors:
    """Plausible errors."""

    RIGHT = (3, "*", 5, 15)

    def draw(self, kind, seeds=50, follow=0.0):
        """Errors of one kind at the first step of the problem."""
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            yield wrong_steps(kind, (3, 5, 7), 22, self.RIGHT, largest=100, follow=follow, rng=rng)

    def test_exploration(self):
        """A right equation on numbers that are there, after which the target is out of reach."""
        for ((a, op, b, c),) in self.draw(ErrorKind.EXPLORATION):
            assert apply(op, a, b) == c
            assert not reachable(after((3, 5, 7), (a, op, b, c)), 22)

    def test_exploration_to_the_end(self):
        """Followed to the end it uses up the numbers by right steps."""
        for path in self.draw(ErrorKind.EXPLORATION, follow=1.0):
            left = (3, 5, 7)
            for step in path:
                assert apply(step[1], step[0], step[2]) == step[3]
                left = after(left, step)
            assert len(left) == 1
            assert left != (22,)

    def test_computational(self):
        """The right operands with a result that is near and wrong."""
        results = {step[3] for (step,) in self.draw(ErrorKind.COMPUTATIONAL)}
        assert all(step[:3] == self.RIGHT[:3] for (step,) in self.draw(ErrorKind.COMPUTATIONAL))
        assert results <= set(range(5, 26)) - {15}
        assert len(results) > 10

    def test_rule(self):
        """One operand is not there; the result is that of the written operands."""
        for ((a, op, b, c),) in self.draw(ErrorKind.RULE):
            assert (a not in (3, 5, 7)) != (b not in (3, 5, 7))
            assert apply(op, a, b) == c

    def test_none_where_none_is_possible(self):
        """From 9 and 9 only 9/9 stays below ten, and that is right."""
        rng = np.random.default_rng(0)
        kind, right = ErrorKind.EXPLORATION, (9, "/", 9, 1)
        assert wrong_steps(kind, (9, 9), 1, right, largest=10, follow=1.0, rng=rng) is None

    def test_the_mix_is_a_ratio(self):
        """Kinds are drawn by weight: 1:2:2 of 5000 draws, within four standard deviations."""
        rng = np.random.default_rng(0)
        drawn = [ErrorMix().draw(rng) for _ in range(5000)]
        assert drawn.count(ErrorKind.EXPLORATION) == pytest.approx(1000, abs=4 * 28.3)
        assert drawn.count(ErrorKind.RULE) == pytest.approx(2000, abs=4 * 34.6)
        with pytest.raises(SettingsError, match="not all zero"):
            ErrorMix(0, 0, 0)

    def test_replay(self):
        """The states before each step, by hand."""
        assert replay((7, 3, 5), ((3, "*", 5, 15), (15, "+", 7, 22))) == [(3, 5, 7), (7, 15)]
