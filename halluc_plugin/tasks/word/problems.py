"""Word problems, drawn so that each can be solved; the maps of the letters are drawn once for a data set.

Words of ``test_new`` are a tenth of all, and never occur in training.
"""

from dataclasses import dataclass
from enum import StrEnum
from string import ascii_lowercase

import numpy as np

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.search_problems import SearchSplit
from halluc_plugin.problem_sets.splits import is_set_aside
from halluc_plugin.problem_sets.steps import StepProblem, check_seed
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
SOURCE = "halluc/word"
SOURCE_OF_NEW_WORDS = "halluc/word-new"
"""Of problems whose words never occur in training: hosts report each source by itself."""


class Form(StrEnum):
    """What letters do to states."""

    PERMUTATION = "permutation"
    """No two states go to one: from each start the word leads elsewhere."""
    MAP = "map"
    """Each state goes anywhere."""


@dataclass(frozen=True)
class WordOptions:
    """What problems look like.

    Args:
        states: How many states there are.
        letters: How many letters there are, each with a map of its own.
        length: Letters of a word.
        starts: States to choose the first from.
        form: What letters do to states.
        blanks: Letters of a word that the answer chooses, one a line.
        check: Whether answers end with the goal, behind the last state.
        answers: Whether problems have exactly one right answer.
        seed: Seed of everything.

    Raises:
        SettingsError: A value is out of range.
    """

    states: int = 30
    letters: int = 3
    length: int = 10
    starts: int = 4
    form: Form = Form.PERMUTATION
    blanks: int = 0
    check: Check = Check.WRITTEN
    answers: Answers = Answers.ONE
    seed: int = 0

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

    @property
    def maps(self) -> tuple[str, ...]:
        """For each letter the state that it leads to from each state."""
        rng = np.random.default_rng([self.seed, 5])
        return tuple(self._map(rng) for _ in range(self.letters))

    def _map(self, rng: np.random.Generator) -> str:
        while True:
            if self.form is Form.PERMUTATION:
                images = rng.permutation(self.states)
            else:
                images = rng.integers(self.states, size=self.states)
            if len(set(images.tolist())) > 1:
                return "".join(STATES[image] for image in images)


class WordProblems:
    """Draws problems.

    Args:
        options: What they look like.
    """

    name = NAME
    sources = (SOURCE, SOURCE_OF_NEW_WORDS)

    def __init__(self, options: WordOptions) -> None:
        self.options, self.search = options, WordSearch()
        self._maps = options.maps

    @property
    def seed(self) -> int:
        """Seed of everything."""
        return self.options.seed

    def draw(self, split: SearchSplit, rng: np.random.Generator) -> StepProblem | None:
        """A problem, None where what was drawn is none, or not for this split."""
        options = self.options
        letters = [ascii_lowercase[letter] for letter in rng.integers(options.letters, size=options.length)]
        for place in rng.permutation(options.length)[: options.blanks]:
            letters[place] = BLANK
        word = "".join(letters)
        starts = "".join(STATES[state] for state in rng.permutation(options.states)[: options.starts])
        lines, goal = self._answer(word, starts, rng)
        if is_set_aside(word.encode(), options.seed) is not (split is SearchSplit.TEST_NEW):
            return None
        puzzle = Puzzle(word, starts, goal, self._maps, options.check)
        if options.answers is Answers.ONE and puzzle.solutions > 1:
            return None
        return StepProblem(f"{word}:{starts} -> {goal}\n", truth_of(puzzle, options.answers), lines)

    def _answer(self, word: str, starts: str, rng: np.random.Generator) -> tuple[tuple[str, ...], str]:
        """The lines of a random answer, and where it ends, which is to be the goal."""
        state, lines = Place(Puzzle(word, starts, "", self._maps, Check.LEFT_OUT)), []
        while steps := self.search.steps(state):
            step = steps[int(rng.integers(len(steps)))]
            lines.append(step.text)
            state = step.after
        goal = str(state.at)
        if self.options.check is Check.WRITTEN:
            lines[-1] = f"{lines[-1].rstrip()}{goal}\n"
        return tuple(lines), goal
