"""The input of a reward: texts and counts of one resolved trace, and a verifier's verdicts on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.moved import warn
from halluc_plugin.rewards.states import WHOLE, Marks, States, states_of

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution
    from halluc_plugin.verifiers import Outcome, Verifier

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Trace:
    """The texts and counts of one trace. An event is *effective* if it erased something.

    Attributes:
        final: The resolved text.
        raw: The text of all actions with edit tokens spelled out; equal to ``final`` without edits.
        states: The states of the trace that can be judged.
        text_at: The live text at each of these states.
        num_backtracks: Number of edits that erased something.
        num_events: Number of effective events.
        num_noops: Number of edits on an empty response.
        num_erased: Number of erased tokens.
        raw_length: Number of actions.
        resolved_length: Number of tokens that are left.
    """

    final: str
    raw: str
    states: States
    text_at: Mapping[int, str]
    num_backtracks: int
    num_events: int
    num_noops: int
    num_erased: int
    raw_length: int
    resolved_length: int

    def counts(self) -> dict[str, float]:
        """Return the counts by name, with ``backtracked`` (0 or 1) and ``token_efficiency``.

        The token efficiency is the resolved over the raw length.
        """
        return {
            "num_backtracks": float(self.num_backtracks),
            "num_events": float(self.num_events),
            "num_noops": float(self.num_noops),
            "num_erased": float(self.num_erased),
            "raw_length": float(self.raw_length),
            "resolved_length": float(self.resolved_length),
            "backtracked": float(self.num_backtracks > 0),
            "token_efficiency": self.resolved_length / self.raw_length if self.raw_length else 1.0,
        }


@dataclass(frozen=True)
class Verdict:
    """The verdict of a verifier or a host's scoring function on one answer.

    Attributes:
        outcome: Whether the answer is right, wrong, or no answer at all.
        score: The reward of the outcome.
        accuracy: 1.0 for a right answer, 0.0 for any other; a host's own share if it gives one.
    """

    outcome: "Outcome"
    score: float
    accuracy: float

    @classmethod
    def of(cls, outcome: "Outcome") -> "Verdict":
        """Return the verdict for an outcome: 1 for a right answer and 0 for any other."""
        from halluc_plugin.verifiers import Outcome

        worth = float(outcome is Outcome.CORRECT)
        return cls(outcome, worth, worth)


@dataclass(frozen=True)
class Answer:
    """A judged trace.

    Attributes:
        trace: The texts and counts.
        final: Verdict on the resolved text.
        raw: Verdict on the raw text; None if it was not judged.
        event_values: For each effective event, the values of the states that it left and reached, 1 if a
            right answer can still be reached. None if nothing can judge prefixes: an incomplete prefix is
            never scored as an answer.
        steps: Value after each step of the resolved text, the last of them 1 if the answer is right; None if
            nothing can judge prefixes.
    """

    trace: Trace
    final: Verdict
    raw: Verdict | None
    event_values: tuple[EventValue, ...] | None
    steps: tuple[float, ...] | None

    @property
    def moves(self) -> tuple[EventValue, ...] | None:
        """The former name of ``event_values``."""
        warn("Answer.moves", "Answer.event_values")
        return self.event_values

    @classmethod
    def valued(
        cls, trace: Trace, final: Verdict, raw: Verdict | None, values: Mapping[int, float] | None
    ) -> "Answer":
        """Return a judged trace from the values of its states.

        The values of the states around events must be present. If values after steps are missing, ``steps``
        is None.

        Args:
            trace: The texts and counts.
            final: Verdict on the resolved text.
            raw: Verdict on the raw text; None if it was not judged.
            values: The value of each state by its position; None for no values.
        """
        if values is None:
            return cls(trace, final, raw, None, None)
        event_values = tuple(EventValue(values[start], values[stop]) for start, stop in trace.states.events)
        ends = trace.states.step_ends
        if not all(end in values for end in ends):
            return cls(trace, final, raw, event_values, None)
        return cls(trace, final, raw, event_values, (*(values[end] for end in ends), float(_correct(final))))


def _correct(verdict: Verdict) -> bool:
    from halluc_plugin.verifiers import Outcome

    return verdict.outcome is Outcome.CORRECT


def observe(resolution: "Resolution", row: int, decode: Decode, marks: Marks = WHOLE) -> Trace:
    """Read one row of a resolution.

    Args:
        resolution: A resolved batch.
        row: Number of the row.
        decode: Function from ids to text. It must spell out edit tokens, so they must not be special.
        marks: The ids that end steps and answers.

    Returns:
        The texts and counts of the row.
    """
    live = resolution.resolved(row)
    edits = int(resolution.num_edits[row])
    final = decode(live)
    states = states_of(resolution, row, marks)
    text_at = {at: decode(resolution.live_at(row, at)) for at in states.positions()}
    effective = int(resolution.num_effective[row])
    return Trace(
        final=final,
        raw=decode(resolution.ids[row][resolution.valid[row]].tolist()) if edits else final,
        states=states,
        text_at=text_at,
        num_backtracks=effective,
        num_events=len(states.events),
        num_noops=edits - effective,
        num_erased=int(resolution.erased[row].sum()),
        raw_length=int(resolution.raw_length[row]),
        resolved_length=len(live),
    )


def judge_answer(
    trace: Trace,
    verifier: "Verifier",
    problem: Mapping[str, Any],
    values: Mapping[int, float] | None = None,
) -> Answer:
    """Judge a trace by a verifier, prefixes too if it can.

    Args:
        trace: The texts and counts.
        verifier: The verifier of answers; one with ``prefix_ok`` also judges the states on the way.
        problem: The problem, as the verifier expects it.
        values: Values of the states by position, if they come from elsewhere.

    Returns:
        The judged trace.
    """
    from halluc_plugin.verifiers import PrefixVerifier

    final = Verdict.of(verifier.verify(problem, trace.final))
    raw = final if trace.raw == trace.final else Verdict.of(verifier.verify(problem, trace.raw))
    if values is None and isinstance(verifier, PrefixVerifier):
        values = {at: float(verifier.prefix_ok(problem, text)) for at, text in trace.text_at.items()}
    return Answer.valued(trace, final, raw, values)
