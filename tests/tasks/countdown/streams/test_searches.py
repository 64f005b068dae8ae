"""Streams of search: what each strategy writes, by hand and by an independent solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc_plugin.errors import SettingsError
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Split, generate
from halluc_plugin.tasks.countdown.solver import reachable
from halluc_plugin.tasks.countdown.streams.lines import (
    Explore,
    GaveUp,
    Leaf,
    Visit,
    is_stream,
    parse,
    path_of,
    text_of,
)
from halluc_plugin.tasks.countdown.streams.reading import End, read_stream
from halluc_plugin.tasks.countdown.streams.strategies import (
    STRATEGIES,
    Heuristic,
    Node,
    Order,
    Strategy,
    draw_strategy,
    optimal,
    search,
    successors,
)
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome

VERIFIER = CountdownVerifier()
PROBLEMS = generate(CountdownSettings(largest_operand=12, largest_target=60), Split.TRAIN, 40)


def stream(strategy, problem, seed=0):
    """The lines of a search of a problem."""
    rng = np.random.default_rng(seed)
    return search(strategy, problem.numbers, problem.target, largest=60, rng=rng)


@pytest.mark.parametrize(
    ("heuristic", "numbers", "target", "rating"),
    [
        (Heuristic.SUM, (8, 3), 10, 4.5),
        (Heuristic.SUM, (7,), 10, 3.0),
        (Heuristic.MULT, (8, 3), 10, 3.0),  # factors 2, 5, 10: distances 2 and 1
        (Heuristic.MULT, (5,), 10, 0.0),
        (Heuristic.MULT, (1, 7), 7, 6.0),  # 1 is no factor
    ],
)
def test_ratings_by_hand(heuristic, numbers, target, rating):
    """Mean distance to the target, and sum of distances to its factors."""
    assert heuristic.rate(numbers, target) == rating


def test_successors_by_hand():
    """Each pair and operation once, larger operand first where order matters, up to the largest result."""
    found = successors(Node((2, 2, 5), ()), 9)
    assert [node.path[0] for node in found] == [
        (2, "+", 2, 4), (2, "*", 2, 4), (2, "/", 2, 1), (2, "+", 5, 7), (5, "-", 2, 3),
    ]  # fmt: skip
    assert [node.numbers for node in found] == [(5, 4), (5, 4), (5, 1), (2, 7), (2, 3)]


def test_depth_first_by_hand():
    """The best state comes first, of those alike the first found, and is searched at once."""
    rng = np.random.default_rng(0)
    lines = search(Strategy(Order.DEPTH_FIRST, Heuristic.SUM), (1, 2, 4), 7, largest=60, rng=rng)
    # Mean distance 3.5 of 4 3 (by 1+2), of 2 5, 1 6 and 1 8; more of all others.
    assert text_of(lines) == "1 2 4:\n1+2=3 4 3\n4 3:1+2=3\n4+3=7,7=\n"


def test_depth_first_returns_by_hand():
    """Behind a state in which all failed, the one before it is written again; others are left out."""
    rng = np.random.default_rng(0)
    lines = search(Strategy(Order.DEPTH_FIRST, Heuristic.SUM), (1, 1, 4), 3, largest=60, rng=rng)
    # 4 2 and 1 3 are 1 away, all others more; 4*2=8 is 5 away, more than the target.
    expected = ["1 1 4:", "1+1=2 4 2", "4 2:1+1=2", "4-2=2,3!", "4/2=2,3!", "4+2=6,3!"]
    expected += ["1 1 4:", "4-1=3 1 3", "1 3:4-1=3", "1*3=3,3="]
    assert text_of(lines).splitlines() == expected


def test_breadth_first_keeps_the_best_by_hand():
    """Of breadth 1, one state is kept behind each, and the stream gives up where its one path fails."""
    rng = np.random.default_rng(0)
    lines = search(Strategy(Order.BREADTH_FIRST, Heuristic.SUM, 1), (1, 2, 4), 3, largest=60, rng=rng)
    # 4 3 and 2 3 are 0.5 away, and 4 3 is found first; of 7, 1, 12 the nearest to 3 is 1.
    assert text_of(lines) == "1 2 4:\n1+2=3 4 3\n4 3:1+2=3\n4-3=1,3!\n!\n"


def test_the_optimal_path_by_hand():
    """It has the lines of a search that never errs."""
    lines = optimal((2, 3, 9), 18, ((9, "-", 3, 6), (6, "*", 2, 12)))
    assert text_of(lines[:-1]) == "2 3 9:\n9-3=6 2 6\n2 6:9-3=6\n"
    assert lines[-1] == Leaf((6, "*", 2, 12), 18, reached=False)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_what_a_search_writes_is_right(strategy):
    """No stream has an error; one that claims the target is right, and every line reads as it was written."""
    claimed = 0
    for problem in PROBLEMS:
        lines = stream(strategy, problem)
        text = text_of(lines)
        assert [parse(line) for line in text.splitlines()] == lines
        read = read_stream(problem.truth, text)
        assert not read.errors
        assert read.end is (End.GAVE_UP if lines[-1] == GaveUp() else End.CLAIMED)
        judged = VERIFIER.verify(problem.truth, text)
        assert judged is (Outcome.CORRECT if read.end is End.CLAIMED else Outcome.NO_ANSWER)
        assert read.explored == sum(isinstance(line, Explore | Leaf) for line in lines)
        claimed += read.end is End.CLAIMED
    assert claimed > 4


def test_depth_first_without_pruning_finds_what_there_is():
    """Depth-first search fails only where the states that it leaves out are needed."""
    failed = 0
    for problem in PROBLEMS:
        lines = stream(STRATEGIES[0], problem)
        assert reachable(*problem.key)
        if lines[-1] == GaveUp():
            # Some state on the drawn path is rated above the target.
            states = [
                line.numbers for line in optimal(problem.numbers, problem.target, problem.solution)[:-1]
            ]
            assert max(Heuristic.SUM.rate(numbers, problem.target) for numbers in states) > problem.target
            failed += 1
    assert failed < len(PROBLEMS) / 2


def test_strategies_are_drawn_as_in_the_paper():
    """Half are depth-first; each breadth of the other half is as likely as any other."""
    rng = np.random.default_rng(0)
    drawn = [draw_strategy(rng) for _ in range(4000)]
    assert len(STRATEGIES) == 12
    assert set(drawn) == set(STRATEGIES)
    assert sum(s.order is Order.DEPTH_FIRST for s in drawn) / 4000 == pytest.approx(0.5, abs=0.03)
    assert sum(s.breadth == 5 for s in drawn) / 4000 == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(("order", "breadth"), [(Order.DEPTH_FIRST, 2), (Order.BREADTH_FIRST, None)])
def test_breadth_belongs_to_breadth_first(order, breadth):
    """A breadth too many or too few is refused."""
    with pytest.raises(SettingsError, match="breadth"):
        Strategy(order, Heuristic.SUM, breadth)


@given(st.text(alphabet="0123456789 +-*/=:,!\n", max_size=40))
@settings(max_examples=200)
def test_any_text_is_read(text):
    """No text is too odd to be read, and what is no path is not one."""
    read = read_stream({"numbers": [2, 3, 9], "target": 18}, text)
    assert read.states >= {(2, 3, 9)}
    assert (path_of(text) is None) is (read.end is not End.CLAIMED)
    assert not is_stream(text) or isinstance(parse(text.lstrip("\n").split("\n")[0].rstrip()), Visit)
