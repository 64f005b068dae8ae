"""Search word problems: states, the lines that lead on, and the exact oracle.

    abcab:DQXF -> M       the word, the starts, the goal
    DZQANMM               the path of a start, a state for each letter, and the goal after it: right
    abca?:DQXF -> M       with a blank, which the answer fills by a letter of its choice
    DZQAN                 the path up to the blank
    cMM                   the letter, and the path from there

What each letter does to each state is the same in all problems of a data set and is not part of the prompt:
it has to be learned. The goal behind the last state (``check=written``) makes comparing the two a matter of
neighbours.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from halluc_plugin.errors import DataError
from halluc_plugin.problem_sets.search import SearchStep

BLANK = "?"
STATES = ascii_uppercase + ascii_lowercase[::-1]
"""The names of states, in order: one character each, so that a tokenizer of numbers has a token for each."""


class Check(StrEnum):
    """Whether an answer ends with the goal, after the last state."""

    WRITTEN = "written"
    LEFT_OUT = "left-out"


class Answers(StrEnum):
    """The number of right answers of a problem."""

    ONE = "one"
    ANY = "any"
    """The problem has at least one right answer, and each is accepted."""


@dataclass(frozen=True)
class Puzzle:
    """One word problem.

    Attributes:
        word: The letters, ``a`` for the first map, :data:`BLANK` where the answer chooses.
        starts: Names of the states in which an answer may begin.
        goal: Name of the state in which it must end.
        maps: For each letter the names of the states to which it leads from each state, as one text.
        check: Whether answers end with the goal.
    """

    word: str
    starts: str
    goal: str
    maps: tuple[str, ...]
    check: Check

    @cached_property
    def segments(self) -> tuple[str, ...]:
        """The word, cut before each blank."""
        return tuple(re.findall(r"^[^?]*|\?[^?]*", self.word))

    @cached_property
    def answers_from(self) -> tuple[Mapping[str, int], ...]:
        """The number of ways to the goal by state, before each segment and at the end."""
        counts = [{state: int(state == self.goal) for state in self.names}]
        for number in reversed(range(1, len(self.segments))):
            after = counts[0]
            counts.insert(
                0, {s: sum(after[path[-1]] for _, path in self.ways(number, s)) for s in self.names}
            )
        first = {start: counts[0][self.ways(0, start)[0][1][-1]] for start in self.starts}
        return (first, *counts)

    @property
    def names(self) -> str:
        """The names of all states."""
        return STATES[: len(self.maps[0])]

    def ways(self, number: int, state: str) -> list[tuple[str, str]]:
        """Return the ways through a segment from a state.

        Returns:
            For each way the text before its path (the letter that fills the blank, if there is one), and the
            path, ``state`` included.
        """
        segment = self.segments[number]
        if not segment.startswith(BLANK):
            return [("", self.path(segment, state))]
        letters = ascii_lowercase[: len(self.maps)]
        return [(letter, self.path(letter + segment[1:], state)) for letter in letters]

    def path(self, letters: str, state: str) -> str:
        """Return the states on the way through ``letters``, ``state`` first."""
        path = state
        for letter in letters:
            path += self.maps[ascii_lowercase.index(letter)][STATES.index(path[-1])]
        return path

    @property
    def solutions(self) -> int:
        """The number of right answers."""
        return sum(self.answers_from[0].values())


@dataclass(frozen=True)
class Place:
    """The state of an answer.

    Attributes:
        puzzle: The problem.
        done: Number of segments of the word that are done.
        at: The state of the automaton; None before a start is chosen.
    """

    puzzle: Puzzle
    done: int = 0
    at: str | None = None


class WordSearch:
    """The search task."""

    def begin(self, problem: Mapping[str, Any]) -> Place:
        """Return the state before a start is chosen; ``problem`` is a ground truth of :func:`truth_of`."""
        return Place(puzzle_of(problem))

    def steps(self, state: Place) -> list[SearchStep[Place]]:
        """Return the paths through the next segment of the word."""
        puzzle, done = state.puzzle, state.done
        if done == len(puzzle.segments):
            return []
        last = puzzle.goal if puzzle.check is Check.WRITTEN and done + 1 == len(puzzle.segments) else ""
        if state.at is None:
            ways = [("", path) for start in puzzle.starts for _, path in puzzle.ways(0, start)]
        else:
            # The state itself stands at the end of the line before.
            ways = [(letter, path[1:]) for letter, path in puzzle.ways(done, state.at)]
        return [
            SearchStep(f"{letter}{path}{last}\n", Place(puzzle, done + 1, path[-1])) for letter, path in ways
        ]

    def dead(self, state: Place) -> bool:
        """Return whether no continuation ends in the goal."""
        return state.at is not None and not state.puzzle.answers_from[state.done][state.at]

    def contradiction(self, state: Place) -> bool:
        """Return whether the word is at its end, and the state is not the goal."""
        return state.done == len(state.puzzle.segments) and state.at != state.puzzle.goal

    def well_formed(self, problem: Mapping[str, Any], line: str) -> bool:
        """Return whether a line has only signs of letters and states."""
        names = puzzle_of(problem).names
        return bool(re.fullmatch(rf"[a-z]?[{names}]+", line))


def truth_of(puzzle: Puzzle, answers: Answers) -> dict[str, Any]:
    """Return a problem as a row's ``reward_model.ground_truth``."""
    return {
        "word": puzzle.word, "starts": puzzle.starts, "goal": puzzle.goal, "maps": list(puzzle.maps),
        "check": str(puzzle.check), "answers": str(answers),
    }  # fmt: skip


def puzzle_of(truth: Mapping[str, Any]) -> Puzzle:
    """Return the problem of a ground truth.

    Raises:
        DataError: The ground truth is not a word problem, cannot be solved, or has two answers where one is
            promised.
    """
    fields = (truth[name] for name in ("word", "starts", "goal", "check", "answers"))
    return _checked(*map(str, fields), maps=tuple(map(str, truth["maps"])))


@lru_cache(maxsize=4096)
def _checked(word: str, starts: str, goal: str, check: str, answers: str, *, maps: tuple[str, ...]) -> Puzzle:
    puzzle = Puzzle(word, starts, goal, maps, Check(check))
    if cause := _fault(puzzle, Answers(answers)):
        raise DataError(cause, "Correct the problem, or draw another: `halluc data word`.")
    return puzzle


def _fault(puzzle: Puzzle, answers: Answers) -> str | None:
    asked = f"Word {puzzle.word!r} from {puzzle.starts!r} to {puzzle.goal!r}"
    sizes = {len(images) for images in puzzle.maps}
    if len(sizes) != 1 or not 2 <= min(sizes) <= len(STATES) - len(puzzle.maps):
        return f"{asked} has maps of {sorted(sizes)} states."
    letters, states = set(ascii_lowercase[: len(puzzle.maps)] + BLANK), set(puzzle.names)
    named = set(puzzle.starts + puzzle.goal).union(*puzzle.maps)
    complete = puzzle.word and len(puzzle.goal) == 1 and puzzle.starts
    if not complete or set(puzzle.word) - letters or named - states:
        return f"{asked} is no word problem on the states {puzzle.names}."
    return _fault_of_answers(puzzle, answers, asked)


def _fault_of_answers(puzzle: Puzzle, answers: Answers, asked: str) -> str | None:
    if len(set(puzzle.starts)) < len(puzzle.starts):
        return f"{asked} has a start twice."
    if any(len(set(images)) == 1 for images in puzzle.maps):
        return f"{asked} has a letter that leads from all states to one: what is before it says nothing."
    if not puzzle.solutions:
        return f"{asked} has no answer."
    if answers is Answers.ONE and puzzle.solutions > 1:
        return f"{asked} has {puzzle.solutions} answers, and one is promised."
    return None
