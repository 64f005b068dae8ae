"""A sound task that counts, which tests break in one way each."""

from dataclasses import dataclass, replace

import pytest

from halluc_plugin.problem_sets.options import option, parts
from halluc_plugin.problem_sets.step_files import StepData
from halluc_plugin.problem_sets.steps import Problem, ProblemSet, Sizes
from halluc_plugin.tasks import EvaluatedSplit, Evaluation, Task
from halluc_plugin.tasks.contract import ContractError, checks_of
from halluc_plugin.verifiers import Outcome


class Counting:
    """Judges counting: one numeral a line, from the first to the last; any line may have blanks behind it."""

    data_sources = ("test/counting", "test/counting-long")

    def verify(self, problem, answer):
        """Whether the lines are the numerals."""
        if not answer:
            return Outcome.NO_ANSWER
        lines = [line.rstrip(" ") for line in answer.removesuffix("\n").split("\n")]
        return Outcome.CORRECT if lines == numerals(problem) else Outcome.WRONG

    def prefix_ok(self, problem, prefix):
        """Whether the lines are those of a right answer, the last one as far as it goes."""
        *lines, last = prefix.split("\n")
        right, done = [*numerals(problem), ""], [line.rstrip(" ") for line in lines]
        if len(lines) >= len(right) or done != right[: len(lines)]:
            return False
        now = right[len(lines)]
        return now.startswith(last) or (now != "" and last.rstrip(" ") == now)


def numerals(problem):
    """What is counted."""
    return [str(number) for number in range(problem["from"], problem["to"] + 1)]


@dataclass(frozen=True)
class Numbers(ProblemSet):
    """Counting from one number to another; the size is how many."""

    name, sources = "counting", Counting.data_sources
    sizes: Sizes = parts(Sizes(3, 5, 7))
    seed: int = option(0, "Seed.")

    def draw(self, size, rng):
        """From any number below 900."""
        first = int(rng.integers(900))
        truth = {"from": first, "to": first + size - 1}
        return Problem(f"{truth['from']} to {truth['to']}\n", truth, tuple(f"{n}\n" for n in numerals(truth)))

    def wrong(self, kind, problem, step, rng):
        """A number that is left out."""
        return f"{problem.truth['from'] + step + 1}\n"


SPLIT = EvaluatedSplit(name="counting_backtrack", split="test", what="numbers")
TASK = Task(
    name="counting",
    verifier=Counting(),
    data=StepData(Numbers()),
    eval=Evaluation(version="1.0", splits=(SPLIT,), max_tokens=64),
)


def broken_by(name, task, given=()):
    """What one check says of a task."""
    (check,) = (each for each in checks_of(task, given) if str(each) == name)
    with pytest.raises(ContractError) as raised:
        check(5)
    said = str(raised.value)
    assert said.startswith(f"The task '{task.name}', seed 5")
    return said


def judged(**methods):
    """The task with another verifier."""
    return replace(TASK, verifier=type("Changed", (Counting,), methods)())


def is_right(problem, answer):
    """Whether the verifier as it should be finds an answer right."""
    return Counting().verify(problem, answer) is Outcome.CORRECT


def is_ok(problem, prefix):
    """Whether the verifier as it should be finds a prefix ok."""
    return Counting().prefix_ok(problem, prefix)


class Tampered(StepData):
    """A data set that is changed when it is written."""

    def tamper(self, files):
        """Change the files."""

    def write(self, *where, **how):
        """Write it, and change it."""
        files = super().write(*where, **how)
        self.tamper(files)
        return files
