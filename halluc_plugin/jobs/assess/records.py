"""What is kept of a problem: its answers, retries and places, as a row of a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from halluc_plugin.verifiers import StepKind


@dataclass(frozen=True)
class StepRecord:
    """A step of an answer.

    Attributes:
        kind: What it is. Where slips and dead ends are not told apart, all are dead ends.
        seen: Whether problem and text show that what stands there is dead; None where nothing says so.
        tokens: How many it has.
        branches: As :class:`halluc_plugin.problem_sets.search.JudgedStep`; None where not known, too.
    """

    kind: StepKind
    seen: bool | None
    tokens: int
    branches: tuple[int, int] | None = None


@dataclass(frozen=True)
class AnswerRecord:
    """An answer.

    Attributes:
        right: Whether it is right.
        ended: Whether it ended by itself.
        comes_to: What it comes to, for votes; None if nothing.
        vote_right: Whether what it comes to is right, whatever its steps.
        tokens: How many it has.
        steps: Its steps; an answer that ends too early has a slip without tokens at its end (a dead end
            where the two are not told apart).
    """

    right: bool
    ended: bool
    comes_to: str | None
    vote_right: bool
    tokens: int
    steps: Sequence[StepRecord]


@dataclass(frozen=True)
class RetryRecord:
    """One retry from the last good state of an answer that failed.

    Attributes:
        depth: Number of the step that failed, from 1.
        live: Whether the retried step is live.
        right: Whether the answer that goes on from it is right.
    """

    depth: int
    live: bool
    right: bool


@dataclass(frozen=True)
class PlaceRecord:
    """A place where a step has just been finished.

    Attributes:
        depth: Steps that stand there.
        dead: Whether the goal is out of reach.
        signals: What the model tells there, by name: the higher, the more likely dead.
        hidden: Its last hidden state.
    """

    depth: int
    dead: bool
    signals: Mapping[str, float]
    hidden: Sequence[float] = field(repr=False)


@dataclass(frozen=True)
class ProblemRecord:
    """All that was found out about one problem."""

    prompt_tokens: int
    answers: Sequence[AnswerRecord]
    retries: Sequence[RetryRecord]
    places: Sequence[PlaceRecord]

    def as_json(self) -> str:
        """For a file."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> "ProblemRecord":
        """From a file."""
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
