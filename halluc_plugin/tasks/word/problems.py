"""Draw word problems that can be solved; the maps of the letters are drawn once for a data set.

Words of ``test_new`` are a tenth of all, and never occur in training.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from string import ascii_lowercase
from typing import ClassVar

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.files import SEED_HELP
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.search_files import SearchProblems
from halluc_plugin.problem_sets.steps import Problem, check_seed
from halluc_plugin.tasks.word.automaton import (
    BLANK,
    STATES,
    Answers,
    Check,
    Place,
    Puzzle,
    WordSearch,
    truth_of,
)

NAME = "word"
SOURCES = ("halluc/word", "halluc/word-new")
"""The source of problems, and that of problems whose words never occur in training: hosts report each by
itself."""
DRAWS = 10_000
"""Number of draws for one problem before drawing is given up."""


class Form(StrEnum):
    """The kind of maps from states to states."""

    PERMUTATION = "permutation"
    """No two states lead to the same one: from each start the word leads to another state."""
    MAP = "map"
    """Each state may lead to any state."""


@dataclass(frozen=True)
class WordProblems(SearchProblems):
    """Word problems.

    Args:
        states: Number of states.
        letters: Number of letters, each with a map of its own.
        length: Number of letters of a word.
        starts: Number of states in which an answer may begin.
        form_of_maps: The kind of maps from states to states.
        blanks: Number of letters of a word that the answer chooses, one on each line.
        check: Whether answers end with the goal, after the last state.
        answers: Whether problems have exactly one right answer.
        seed: Seed of all random choices.

    Raises:
        SettingsError: A value is out of range.
    """

    name: ClassVar[str] = NAME
    sources: ClassVar[tuple[str, ...]] = SOURCES
    search: ClassVar[WordSearch] = WordSearch()

    states: int = option(30, "Number of states.")
    letters: int = option(3, "Number of letters, each with a map of its own.")
    length: int = option(10, "Letters of a word.")
    starts: int = option(4, "States to choose the first from.")
    form_of_maps: Form = option(
        Form.PERMUTATION, "What letters do to states: permute them, or map each anywhere.", flag="--form"
    )
    blanks: int = option(0, "Letters of a word that the answer chooses, one a line.")
    check: Check = option(Check.WRITTEN, "Whether answers end with the goal, behind the last state.")
    answers: Answers = option(Answers.ONE, "Right answers of a problem: one, or any number.")
    seed: int = option(0, SEED_HELP)

    def __post_init__(self) -> None:
        if self.states < 2 or self.letters < 1 or self.states + self.letters > len(STATES):
            raise SettingsError(
                f"Words of {self.letters} letters on {self.states} states.",
                f"Give 1 letter or more and 2 states or more, {len(STATES)} at most in all: each has a sign.",
            )
        if self.length < 1:
            raise SettingsError(f"The length of words is {self.length}.", "Give 1 or more.")
        if not 2 <= self.starts <= self.states:
            raise SettingsError(
                f"{self.starts} starts of {self.states} states.", "Give 2 at least, and no more than states."
            )
        if not 0 <= self.blanks <= self.length:
            raise SettingsError(
                f"{self.blanks} blanks in words of {self.length} letters.", "Give 0 to the length of words."
            )
        check_seed(self.seed)

    @cached_property
    def maps(self) -> tuple[str, ...]:
        """The states to which each letter leads from each state, one text for each letter."""
        rng = np.random.default_rng([self.seed, 5])
        return tuple(self._map(rng) for _ in range(self.letters))

    def _map(self, rng: np.random.Generator) -> str:
        while True:
            if self.form_of_maps is Form.PERMUTATION:
                images = rng.permutation(self.states)
            else:
                images = rng.integers(self.states, size=self.states)
            if len(set(images.tolist())) > 1:
                return "".join(STATES[image] for image in images)

    def draw(self, size: int, rng: np.random.Generator) -> Problem:  # noqa: ARG002 - words have one length
        """Return a random problem; its topic is its word.

        Raises:
            SettingsError: No problem with exactly one answer was found.
        """
        for _ in range(DRAWS):
            letters = [ascii_lowercase[letter] for letter in rng.integers(self.letters, size=self.length)]
            for place in rng.permutation(self.length)[: self.blanks]:
                letters[place] = BLANK
            word = "".join(letters)
            starts = "".join(STATES[state] for state in rng.permutation(self.states)[: self.starts])
            lines, goal = self._answer(word, starts, rng)
            puzzle = Puzzle(word, starts, goal, self.maps, self.check)
            if self.answers is Answers.ANY or puzzle.solutions == 1:
                prompt = f"{word}:{starts} -> {goal}\n"
                return Problem(prompt, truth_of(puzzle, self.answers), lines, topic=word)
        raise SettingsError(
            f"Of {DRAWS} words none has exactly one answer.",
            "Give more states, fewer blanks or starts, or answers=any.",
        )

    def _answer(self, word: str, starts: str, rng: np.random.Generator) -> tuple[tuple[str, ...], str]:
        """The lines of a random answer, and where it ends, which is to be the goal."""
        state, lines = Place(Puzzle(word, starts, "", self.maps, Check.LEFT_OUT)), []
        while steps := self.search.steps(state):
            step = steps[int(rng.integers(len(steps)))]
            lines.append(step.text)
            state = step.after
        goal = str(state.at)
        if self.check is Check.WRITTEN:
            lines[-1] = f"{lines[-1].rstrip()}{goal}\n"
        return tuple(lines), goal
