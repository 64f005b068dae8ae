"""The evaluation of a task as plain data, from which an adapter makes its host's tasks."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluatedSplit:
    """One split of the data, which becomes a task of the host.

    Attributes:
        name: Name of the host's task, such as ``countdown_backtrack_new``.
        split: Name of the split in the data files, such as ``test_new``.
        what: Description of the problems, such as "problems with new targets".
        folder: Folder of the data, if it is not named after the task.
        arguments: Arguments of ``halluc data NAME``, if the defaults write other problems.
        version: Version of this task, if it differs from that of the others.
    """

    name: str
    split: str
    what: str
    folder: str | None = None
    arguments: tuple[str, ...] = ()
    version: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How answers are sampled and scored.

    Attributes:
        version: Version of the tasks, raised when scores are no longer comparable with earlier ones.
        splits: The splits, the main one first.
        max_tokens: Largest number of tokens of an answer, erased ones and edits included.
        extract: A regular expression for the lenient rows: its findings in a text, one on each line and
            without blanks, are judged as the answer. None to judge the final result of the whole text.
        target: Template over ``ground_truth`` and ``answer`` for what a host shows as the reference.
    """

    version: str
    splits: tuple[EvaluatedSplit, ...]
    max_tokens: int
    extract: str | None = None
    target: str = "{{answer}}"

    def found(self, text: str) -> str:
        """Return the part of a text that the lenient rows judge."""
        return text if self.extract is None else findings(self.extract, text)


def findings(pattern: str, text: str) -> str:
    """Return the findings of a regular expression in a text, one on each line and without blanks."""
    return "\n".join(each[0].replace(" ", "") for each in re.finditer(pattern, text))
