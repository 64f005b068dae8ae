"""What the evaluation of a task is, as plain data; an adapter makes its host's tasks from it."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluatedSplit:
    """One split of the data as a task of its own.

    Attributes:
        name: Of the host's task, such as ``countdown_backtrack_new``.
        split: Of the data files, such as ``test_new``.
        what: What its problems are, such as "problems with new targets".
        folder: The folder of the data, where it is not named after the task.
        arguments: Of ``halluc data NAME``, where the default ones write other problems.
        version: Of this task, where it is not that of the others.
    """

    name: str
    split: str
    what: str
    folder: str | None = None
    arguments: tuple[str, ...] = ()
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How answers are asked for and scored.

    Attributes:
        version: Raised when scores are no longer comparable with those of before.
        splits: The tasks, the main one first.
        max_tokens: Most tokens of an answer, erased ones and edits included.
        extract: A regular expression: what it finds in a text, one finding a line and without blanks, is
            judged as the answer of the lenient rows; None where those judge what the whole text comes to.
        target: What a host shows as the reference: a template over ``ground_truth`` and ``answer``.
    """

    version: str
    splits: tuple[EvaluatedSplit, ...]
    max_tokens: int
    extract: str | None = None
    target: str = "{{answer}}"

    def found(self, text: str) -> str:
        """What the lenient rows judge of a text."""
        return text if self.extract is None else findings(self.extract, text)


def findings(pattern: str, text: str) -> str:
    """What a regular expression finds in a text: one finding a line, without blanks, whatever is between."""
    return "\n".join(each[0].replace(" ", "") for each in re.finditer(pattern, text))
