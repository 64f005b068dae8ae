"""The two tasks: what is asked, what policies are trained on, and in which ids."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.problem_sets import steps as step_problems
from halluc_plugin.problem_sets.raw_traces import Edit
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.problem_sets.search_trace_settings import Back, Memory, SearchEdit, SearchTraceSettings
from halluc_plugin.problem_sets.step_files import StepRequest, write_steps
from halluc_plugin.problem_sets.step_traces import Pairing, StepTraceSettings
from halluc_plugin.problem_sets.steps import ProblemSet, StepSplit, generate, step_row
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.word.automaton import Answers
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN


class Task(StrEnum):
    """What is answered."""

    WORD = "word"
    """Words of which the answer chooses some letters, one a line: several right answers."""
    CHAIN = "chain"
    """Sums and differences modulo m, one a line: one right answer."""


DELIMITER = "\n"
LETTERS, STARTS = 3, 3
RATES = {Task.WORD: 0.4, Task.CHAIN: 0.1}
"""Rates of errors in traces that take back, for each step."""


@dataclass(frozen=True)
class Sizes:
    """How large problems are.

    Attributes:
        modulus: Modulus of chains.
        operations: Operations of the chains that are asked; those of training have 1 to so many.
        states: States of words, whose letters are three.
        length: Length of a word.
        blanks: Letters of it that the answer chooses, one a line.
    """

    modulus: int = 5
    operations: int = 16
    states: int = 4
    length: int = 8
    blanks: int = 5

    def longest(self, task: Task) -> int:
        """Return the most tokens of an answer, EOS included: those of a right one and a few."""
        return self.right(task) + 4

    def right(self, task: Task) -> int:
        """Return the tokens of a right answer, EOS included."""
        return 2 * self.blanks + self.length + 4 if task is Task.WORD else 6 * self.operations + 1


@dataclass(frozen=True)
class Problems:
    """The problems of one seed of a task.

    Attributes:
        task: The task.
        seed: Seed of everything.
        folder: Where files are kept.
        sizes: How large they are.
        edit_tokens: The edit tokens of the tokenizer.
    """

    task: Task
    seed: int
    folder: Path
    sizes: Sizes = field(default_factory=Sizes)
    edit_tokens: tuple[str, ...] = (BACKTRACK_TOKEN, STEP_TOKEN)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of all models, those that never take back included."""
        return number_tokenizer(largest=30, edit_tokens=self.edit_tokens)

    @property
    def asked_set(self) -> ProblemSet:
        """What is asked."""
        return self._set(self.sizes.operations, self.sizes.operations)

    def _set(self, fewest: int, most: int) -> ProblemSet:
        sizes = self.sizes
        if self.task is Task.WORD:
            return WordProblems(
                states=sizes.states, length=sizes.length, blanks=sizes.blanks, answers=Answers.ANY,
                letters=LETTERS, starts=min(STARTS, sizes.states), seed=self.seed,
            )  # fmt: skip
        lengths = step_problems.Sizes(fewest, most, most + 1)
        return ChainProblems(modulus=sizes.modulus, operations="+-", sizes=lengths, seed=self.seed)

    def traces(self, train: int, most: int, *, erasing: bool, hard: bool = False) -> Path:
        """Write traces of the training problems unless they are there, and return their file.

        Args:
            train: Problems, at most half of those that there are.
            most: Operations of a chain; shorter ones are as likely.
            erasing: Whether there are traces that take back.
            hard: Whether they suit hard context, in which what was tried cannot be seen: words begin anew,
                since a line that is dead looks alike on the way there and on the way back.
        """
        restarts = self.task is Task.WORD and erasing and hard
        kind = "restarting" if restarts else "erasing" if erasing else "clean"
        root = self.folder / f"{kind}-{most}"
        problems, path = self._set(1, max(1, most)), root / self.task / "traces.parquet"
        if self.task is Task.CHAIN:  # of short ones there are not so many
            signs = 2 * self.sizes.modulus
            train = min(train, self.sizes.modulus * sum(signs**count for count in range(1, most + 1)) // 2)
        if (root / self.task / "card.json").exists():
            return path
        rate = RATES[self.task]
        if isinstance(problems, WordProblems):
            looks = SearchTraceSettings(pairing=Pairing.PAIRED, rate=rate)
            if restarts:
                looks = replace(looks, memory=Memory.NONE, back=Back.RESTART, edit=SearchEdit.RESTART)
            SearchData(problems, SearchRequest(train, 1, float(erasing), looks)).write(
                root, self.tokenizer, show_progress
            )
        else:
            steps = StepTraceSettings(edit=Edit.STEP, rate=rate)
            request = StepRequest(train, 1, float(erasing), steps)
            write_steps(root, problems, request, self.tokenizer, show_progress)
        return path

    def file(self, split: StepSplit, count: int) -> Path:
        """Write problems unless they are there, and return their file."""
        path = self.folder / f"{split}-{count}.parquet"
        if not path.exists():
            drawn = generate(self.asked_set, split, count)
            rows = (step_row(p, self.asked_set, split, number) for number, p in enumerate(drawn))
            write_parquet(path, rows, {"seed": self.seed})
        return path

    def posed(self, split: StepSplit, count: int) -> list[PosedProblem]:
        """Return problems as models are asked; those of the test split are never trained on, by anything."""
        return read_problems(self.file(split, count), self.tokenizer, count)
