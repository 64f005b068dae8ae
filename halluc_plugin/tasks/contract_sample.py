"""The sample for the contract of a task: problems, answers and traces that are drawn from one seed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np

from halluc_plugin.data.rows import Row, ground_truth, messages, reference_answer, text_of
from halluc_plugin.edits import EditState, EditVocab
from halluc_plugin.errors import TaskError
from halluc_plugin.problem_sets.data_set import DataSet
from halluc_plugin.problem_sets.options import with_values
from halluc_plugin.tasks.registry import check_rows
from halluc_plugin.tasks.task import Task
from halluc_plugin.verifiers import Outcome, PrefixVerifier

TRAIN, TEST = 24, 6
"""Number of problems that are drawn of training, and of each held-out split."""
ANSWERS = 4
"""Number of answers of each split that are examined character by character."""
LONGER = 4
"""Factor by which a found answer may be longer than the reference, apart from one more line."""

ItemT = TypeVar("ItemT")


class ContractError(AssertionError):
    """An error of a task that breaks its contract."""


class Answered(NamedTuple):
    """A problem with a right answer.

    Attributes:
        truth: The ground truth by which the verifier judges (``reward_model.ground_truth``).
        answer: Text of the answer.
    """

    truth: Any
    answer: str


@dataclass(frozen=True, eq=False)
class Sample:
    """The problems and traces that one seed draws of a task.

    Attributes:
        task: The task.
        seed: The seed that drew them.
        given: Right answers that were not drawn.
        rows: Rows of problems by split; empty for a task that draws none.
        traces: Rows of traces, each with its ``response_ids``.
        mistakes: Number of times that each kind of mistake was written.
        tokenizer: The tokenizer of the traces.
        vocab: The edit vocabulary of the tokenizer.
    """

    task: Task
    seed: int
    given: Sequence[Answered] = ()
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    traces: Sequence[Row] = ()
    mistakes: Mapping[str, int] = field(default_factory=dict)
    tokenizer: Any = None
    vocab: EditVocab | None = None

    @cached_property
    def answers(self) -> list[Answered]:
        """Return right answers: those that are given, and the first few references of each split."""
        rows = [row for rows in self.rows.values() for row in rows[:ANSWERS]]
        drawn = (Answered(ground_truth(row), reference_answer(row)) for row in rows)
        return [*self.given, *(each for each in drawn if each.answer)]

    @cached_property
    def alphabet(self) -> list[str]:
        """Return the characters of prompts and answers, with blank and newline."""
        prompts = [prompt_of(row) for rows in self.rows.values() for row in rows]
        return sorted(set(" \n".join((*prompts, *(answer for _, answer in self.answers)))))

    @cached_property
    def traced(self) -> list[Answered]:
        """Return the answers that the first few traces resolve to."""
        return [
            Answered(ground_truth(row), self.decode(self.live(row["response_ids"])))
            for row in self.traces[:ANSWERS]
        ]

    def found(self) -> Iterator[Answered]:
        """Yield a right answer to one problem of each split, found by verdicts on prefixes alone.

        An answer grows by characters, each drawn from those after which the prefix is still ok.

        Raises:
            ContractError: No character after a prefix that is ok is ok, and the answer is not right.
        """
        verifier = self.task.verifier
        assert isinstance(verifier, PrefixVerifier)
        searched = (self._search(verifier, *each) for each in self.answers[::ANSWERS])
        return (each for each in searched if each is not None)

    def _search(self, verifier: PrefixVerifier, truth: Any, answer: str) -> Answered | None:
        """None where the answer gets too long, as it can where blanks do not count."""
        rng, text = np.random.default_rng(self.seed), ""
        most = LONGER * len(answer) + max(map(len, answer.split("\n")))
        while verifier.verify(truth, text) is not Outcome.CORRECT:
            if len(text) > most:
                return None
            behind = (text + self.alphabet[at] for at in rng.permutation(len(self.alphabet)))
            longer = next((each for each in behind if verifier.prefix_ok(truth, each)), None)
            if longer is None:
                raise self.broken(f"the prefix {text!r} is ok, but no right answer begins with it", truth)
            text = longer
        return Answered(truth, text)

    def broken(self, how: str, truth: Any = None) -> ContractError:
        """Return the error that says how the task breaks its contract."""
        problem = "" if truth is None else f", problem {truth!r:.300}"
        return ContractError(f"The task {self.task.name!r}, seed {self.seed}{problem}: {how}.")

    def live(self, ids: Iterable[int]) -> list[int]:
        """Return the ids that are left of a trace, without EOS."""
        assert self.vocab is not None
        state = EditState(self.vocab)
        for token in ids:
            state.push(token)
        return [token for token in state.live_ids if token != self.tokenizer.eos_token_id]

    def events(self, ids: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
        """Yield the live ids before and after each run of edits."""
        assert self.vocab is not None
        edits = [token in self.vocab.edit_ids for token in ids]
        for at, edit in enumerate(edits):
            if edit and not (at and edits[at - 1]):
                stop = next((i for i in range(at, len(ids)) if not edits[i]), len(ids))
                yield self.live(ids[:at]), self.live(ids[:stop])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return str(self.tokenizer.decode(ids))

    def drawn_again(self, seed: int) -> "Sample":
        """Return the same task's sample from another seed, or from the same one a second time."""
        return drawn(self.task, seed)


def prompt_of(row: Row) -> str:
    """Return the prompt of a row as one text."""
    return "\n".join(text_of(message.get("content")) or "" for message in messages(row))


def drawn(task: Task, seed: int, given: Sequence[Answered] = ()) -> Sample:
    """Return the sample that a seed draws of a task, written and read as a small data set.

    Args:
        task: The task. If it draws no problems, the sample holds only the given answers.
        seed: The seed.
        given: Right answers.

    Raises:
        HallucError: The data set is refused.
    """
    from halluc_plugin.data.parquet import read_rows
    from halluc_plugin.scratch.tokenizer import number_tokenizer
    from halluc_plugin.tokens import EDIT_TOKENS, edit_vocab

    if task.data is None:
        return Sample(task, seed, given)
    tokenizer = number_tokenizer(edit_tokens=EDIT_TOKENS)
    data = small(task.data, seed)
    with TemporaryDirectory() as folder:
        files = data.write(Path(folder), tokenizer, _quietly)
        card = json.loads(files.card.read_text(encoding="utf-8"))
        rows = {split: check_rows(files.problems(split)) for split in data.splits}
        columns = ("reward_model", "response_ids")
        traces = read_rows(files.traces, columns) if files.traces.exists() else []
    mistakes = card.get("traces", {}).get("errors", {})
    return Sample(task, seed, given, rows, traces, mistakes, tokenizer, edit_vocab(tokenizer))


def small(data: DataSet, seed: int) -> DataSet:
    """Return a small data set in which all kinds of mistakes are equally likely.

    Raises:
        TaskError: The data set cannot be made small, or has no seed.
    """
    options = {each.name: each for each in data.options()}
    values: dict[str, Any] = {"seed": seed, "train": TRAIN, "test": TEST}
    if absent := values.keys() - options.keys():
        raise TaskError(
            f"The data set {type(data).__name__} has no option {min(absent)!r}.",
            "Declare it as a field: the contract asks for few problems of several seeds.",
        )
    alike = {name: dict.fromkeys(each.default, 1.0) for name, each in options.items() if each.kind is dict}
    return with_values(data, {options[name].path: value for name, value in (values | alike).items()})


def _quietly(items: Iterable[ItemT], what: str, total: int) -> Iterable[ItemT]:  # noqa: ARG001 - as Progress
    return items
