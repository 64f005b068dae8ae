"""The interface of every data set: its problems, its options, and how it is written."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from halluc_plugin.data.resumable import Progress
from halluc_plugin.problem_sets.files import DataSetFiles, plain
from halluc_plugin.problem_sets.options import Option, options


class Posed(Protocol):
    """The interface of a problem."""

    @property
    def prompt(self) -> str:
        """The text of the prompt; different problems have different prompts."""
        ...

    @property
    def truth(self) -> Mapping[str, Any]:
        """The ground truth that the verifier needs (``reward_model.ground_truth``)."""
        ...

    @property
    def steps(self) -> tuple[str, ...]:
        """A right answer, cut into steps, each with the blank or newline that ends it."""
        ...

    @property
    def answer(self) -> str:
        """The text of a right answer."""
        ...


class DataSet(ABC):
    """A data set that can be written: a frozen dataclass whose fields are the options of its command."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The names of its splits, that of training first."""

    @property
    @abstractmethod
    def edit(self) -> StrEnum | None:
        """The edit that deletes errors in its traces, whose token the tokenizer needs; None for no errors."""

    @property
    def described(self) -> dict[str, Any]:
        """The settings that decide what is written, as JSON; by them what is cached is found again."""
        return plain(self)

    @abstractmethod
    def draw(self, split: str, count: int) -> Sequence[Posed]:
        """Draw distinct problems of one split.

        The same seed gives the same problems, and a larger count extends a smaller one.

        Args:
            split: Name of the split.
            count: Number of problems.

        Raises:
            SettingsError: There are not as many distinct problems, or they are too rare to be found.
        """

    @abstractmethod
    def write(
        self,
        folder: Path,
        tokenizer: Any | None,
        progress: Progress,
        *,
        workers: int = 1,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> DataSetFiles:
        """Write the data set; the same request and tokenizer write the same bytes.

        Args:
            folder: The folder below which the data set is written, in a folder named after the task.
            tokenizer: The tokenizer of the traces; None writes no traces.
            progress: Shows the progress.
            workers: Number of processes that write traces.
            template_kwargs: Further arguments of the tokenizer's chat template.

        Returns:
            The paths of its files.

        Raises:
            SettingsError: There are not as many distinct problems, or the task has no such traces.
            TokenizerError: Backtracking traces are asked for and the tokenizer has no edit tokens.
        """

    def options(self) -> list[Option]:
        """Return the options of the data set's command."""
        return options(self)
