"""What a data set is asked to be, and how it is written: the face that every kind of problems shows."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from halluc_plugin.data.resumable import Progress
from halluc_plugin.problem_sets.files import DataSetFiles
from halluc_plugin.problem_sets.options import Option, options


class Posed(Protocol):
    """A problem as all who write, ask and judge see it."""

    @property
    def prompt(self) -> str:
        """How it is asked; problems that differ are asked differently."""
        ...

    @property
    def truth(self) -> Mapping[str, Any]:
        """What its verifier needs (``reward_model.ground_truth``)."""
        ...

    @property
    def steps(self) -> tuple[str, ...]:
        """A right answer, cut into steps, each with the blank or newline that closes it."""
        ...

    @property
    def answer(self) -> str:
        """A right answer."""
        ...


class DataSet(ABC):
    """A data set that can be written: a frozen dataclass whose fields are the options of its command."""

    @property
    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """The splits of its problems, that of training first."""

    @property
    @abstractmethod
    def edit(self) -> StrEnum | None:
        """What deletes errors in its traces, None where none has any: the tokenizer needs that token."""

    @abstractmethod
    def draw(self, split: str, count: int) -> Sequence[Posed]:
        """Draw distinct problems of one split; the same for the same seed, and more begin with fewer.

        Raises:
            SettingsError: So many do not exist, or are too rare to find.
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
        """Write it; the same request and tokenizer write the same bytes.

        Args:
            folder: Where to; it goes to a folder below, named after the task.
            tokenizer: Whose ids the traces are in; None writes no traces.
            progress: How to show progress.
            workers: Processes that write traces.
            template_kwargs: What the tokenizer's chat template reads beside the messages.

        Raises:
            SettingsError: So many distinct problems do not exist; or there are no such traces.
            TokenizerError: Backtracking traces are wanted and the tokenizer has no edit tokens.
        """

    def options(self) -> list[Option]:
        """The options of its command."""
        return options(self)
