"""Read published labels of steps as they are: ProcessBench and PRM800K.

ProcessBench (C. Zheng et al., arXiv 2412.06559) has for each solution the index of its first wrong step, or
-1. PRM800K (H. Lightman et al., "Let's Verify Step by Step", arXiv 2305.20050) has for each step one or
several completions with a rating of -1, 0 or 1, one of which is continued.

A value is 1 before the first wrong step and 0 from it on; the value of the bare prompt is not known. The
labels are human judgements of steps, not the share of a policy's continuations that succeed.

Deviations:

1. A rating of 0, neither right nor wrong, counts as right, as in the paper's own scorer.
2. A completion that is not continued becomes a response of its own, which ends with it.
3. An unfinished response is right if none of its steps is wrong; in ProcessBench the final answer decides.
4. Problems that the labellers marked as bad are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.json_files import read_json
from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import DataError, TokenizerError


@dataclass(frozen=True)
class _Labelled:
    """A response in text, with what is known of its steps."""

    source: str
    problem: str
    steps: Sequence[str]
    values: Sequence[float | None]
    correct: bool
    finished: bool


def read_step_labels(
    path: Path, tokenizer: Any, *, step_delimiter: str, template_kwargs: Mapping[str, Any] | None = None
) -> list[ValueRow]:
    """Read a published file as rows of values.

    Args:
        path: A ``.json`` or ``.jsonl`` file of either data set.
        tokenizer: The scorer's tokenizer; its chat template renders the prompts.
        step_delimiter: Text that ends a step. It is inserted between the steps; a finished response ends with
            EOS.
        template_kwargs: Further arguments of the chat template.

    Raises:
        DataError: The file cannot be read or belongs to neither data set, or a row has a step without text or
            an invalid label.
        TokenizerError: The tokenizer has no EOS, or does not write the end of a step as one token.
    """
    rows = list(read_json(path))
    first = rows[0] if rows and isinstance(rows[0], Mapping) else {}
    write = _Writer(tokenizer, step_delimiter, template_kwargs or {})
    read = _reader(path, first)
    found = []
    for number, row in enumerate(rows):
        try:
            found += [write.row(labelled) for labelled in read(row)]
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, row {number} lacks a part ({type(error).__name__}: {error}).", _REMEDY
            ) from error
        except DataError as error:
            raise DataError(f"{path}, row {number}: {error.cause}", error.fix) from error
    if not found:
        raise DataError(f"{path} has no rows.", _REMEDY)
    return found


_REMEDY = "Give the file as it was published."


def _reader(path: Path, first: Mapping[str, Any]) -> Callable[[Any], Iterator[_Labelled]]:
    if {"problem", "steps", "label"} <= first.keys():
        return _processbench
    if {"question", "label"} <= first.keys():
        return _prm800k
    raise DataError(
        f"{path} has rows of {', '.join(first) or 'nothing'}: neither ProcessBench's nor PRM800K's.",
        "Give rows with problem, steps and label, or with question and label.",
    )


def _processbench(row: Mapping[str, Any]) -> Iterator[_Labelled]:
    steps, label = row["steps"], row["label"]
    if not isinstance(label, int) or not -1 <= label < len(steps):
        raise DataError(f"The label is {label!r}, of {len(steps)} steps.", "Give the first wrong one, or -1.")
    good = len(steps) if label < 0 else label
    values = [None, *[1.0] * good, *[0.0] * (len(steps) - good)]
    subset = str(row.get("id", "")).rpartition("-")[0]
    source = f"processbench/{subset}" if subset else "processbench"
    correct = bool(row.get("final_answer_correct", label < 0))
    yield _Labelled(source, row["problem"], steps, values, correct, finished=True)


def _prm800k(row: Mapping[str, Any]) -> Iterator[_Labelled]:
    label, problem = row["label"], row["question"]["problem"]
    if label["finish_reason"] == "bad_problem":
        return
    path: list[str] = []
    values: list[float | None] = [None]

    def response(*more: tuple[str, Any], finished: bool = False) -> _Labelled:
        texts = [*path, *(text for text, _ in more)]
        rated = [*values, *(_value(rating, values) for _, rating in more)]
        return _Labelled("prm800k", problem, texts, rated, correct=0.0 not in rated, finished=finished)

    for step in label["steps"]:
        chosen, human = step["chosen_completion"], step.get("human_completion")
        completions = step["completions"] or []
        for number, each in enumerate(completions):
            if number != chosen and each["rating"] is not None:
                yield response((each["text"], each["rating"]))
        if chosen is None and human is None:
            if not any(each["rating"] is not None for each in completions) and path:
                yield response()
            return
        text, rating = (
            (human["text"], 1)
            if chosen is None
            else (completions[chosen]["text"], completions[chosen]["rating"])
        )
        values.append(_value(rating, values))
        path.append(text)
    if path:
        yield response(finished=label["finish_reason"] == "solution")


def _value(rating: Any, before: Sequence[float | None]) -> float | None:
    """What a rating says, behind steps of these values."""
    if rating not in {-1, 0, 1, None}:
        raise DataError(f"A rating is {rating!r}.", "Give -1, 0, 1 or nothing.")
    if rating == -1 or 0.0 in before:
        return 0.0
    return None if rating is None else 1.0


class _Writer:
    """Writes responses in ids."""

    def __init__(self, tokenizer: Any, delimiter: str, kwargs: Mapping[str, Any]) -> None:
        if tokenizer.eos_token_id is None:
            raise TokenizerError("The tokenizer has no EOS to end a response with.", "Set one, and save it.")
        self._tokenizer, self._delimiter, self._kwargs = tokenizer, delimiter, kwargs
        self._ends = find_delimiters(tokenizer, delimiter)

    def row(self, labelled: _Labelled) -> ValueRow:
        if not labelled.steps:
            raise DataError("There is no step.", "Drop the row.")
        last = len(labelled.steps) - 1
        step_ids = [
            self._step(text, number, final=labelled.finished and number == last)
            for number, text in enumerate(labelled.steps)
        ]
        message = {"role": "user", "content": labelled.problem}
        prompt = prompt_ids(self._tokenizer, [message], self._kwargs)
        values = list(labelled.values)
        return ValueRow(labelled.source, prompt, step_ids, values, correct=labelled.correct)

    def _step(self, text: Any, number: int, *, final: bool) -> list[int]:
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"Step {number + 1} has no text.", "Drop the row, or the step.")
        ends = "" if final or text.endswith(self._delimiter) else self._delimiter
        ids: list[int] = self._tokenizer.encode(text + ends, add_special_tokens=False)
        if final:
            return [*ids, self._tokenizer.eos_token_id]
        if ids[-1] not in self._ends:
            raise TokenizerError(
                f"The end of {text[-20:] + ends!r} is no token of its own that ends a step.",
                "Use another --step-delimiter.",
            )
        return ids
