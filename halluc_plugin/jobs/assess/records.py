"""The record of a problem, its answers, retries and places, as a row of a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from halluc_plugin.verifiers import StepKind


@dataclass(frozen=True)
class StepRecord:
    """The record of one step of an answer.

    Attributes:
        kind: The kind of the step. If slips and dead ends are not told apart, all are dead ends.
        seen: Whether problem and text show that the state is dead; None if the oracle does not tell.
        tokens: Number of tokens.
        branches: The numbers of branches, as in :class:`halluc_plugin.problem_sets.search.JudgedStep`; None
            if they are not known.
    """

    kind: StepKind
    seen: bool | None
    tokens: int
    branches: tuple[int, int] | None = None


@dataclass(frozen=True)
class AnswerRecord:
    """The record of one answer.

    Attributes:
        right: Whether the answer is right.
        ended: Whether the answer ended by itself.
        comes_to: The final result, for votes; None if there is none.
        vote_right: Whether the final result is right, whatever the steps.
        tokens: Number of tokens.
        steps: The steps. An answer that ends too early has a slip without tokens at its end (a dead end if
            the two are not told apart).
    """

    right: bool
    ended: bool
    comes_to: str | None
    vote_right: bool
    tokens: int
    steps: Sequence[StepRecord]


@dataclass(frozen=True)
class RetryRecord:
    """The record of one retry from the last good state of an answer that failed.

    Attributes:
        depth: Number of the step that failed, from 1.
        live: Whether the retried step is live.
        right: Whether the answer that continues from it is right.
    """

    depth: int
    live: bool
    right: bool


@dataclass(frozen=True)
class PlaceRecord:
    """The record of a place where a step has just been finished.

    Attributes:
        depth: Number of steps of the text.
        dead: Whether the goal is out of reach.
        signals: The model's signals at this place, by name. The higher a signal, the more likely the text is
            dead.
        hidden: The model's last hidden state at this place.
    """

    depth: int
    dead: bool
    signals: Mapping[str, float]
    hidden: Sequence[float] = field(repr=False)


@dataclass(frozen=True)
class ProblemRecord:
    """The record of one problem."""

    prompt_tokens: int
    answers: Sequence[AnswerRecord]
    retries: Sequence[RetryRecord]
    places: Sequence[PlaceRecord]

    def as_json(self) -> str:
        """Return the record as JSON text, for a file."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> "ProblemRecord":
        """Return the record in a JSON text from a file."""
        told = json.loads(text)
        return cls(
            told["prompt_tokens"],
            [_answer(each) for each in told["answers"]],
            [RetryRecord(**each) for each in told["retries"]],
            [PlaceRecord(**each) for each in told["places"]],
        )


def _answer(told: Mapping[str, Any]) -> AnswerRecord:
    steps = [
        StepRecord(
            StepKind(step["kind"]),
            step["seen"],
            step["tokens"],
            None if step["branches"] is None else (step["branches"][0], step["branches"][1]),
        )
        for step in told["steps"]
    ]
    return AnswerRecord(**{**told, "steps": steps})
