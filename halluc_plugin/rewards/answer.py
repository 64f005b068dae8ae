"""What a reward may look at: texts and counts of one resolved trace, and what a verifier says of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halluc_plugin.edits import Resolution
    from halluc_plugin.verifiers import Outcome, Verifier

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Trace:
    """One trace in words and counts. An event is *effective* if it erased something.

    Attributes:
        final: The resolved text.
        raw: The text of all actions, edit tokens spelled out; equal to ``final`` without edits.
        before: The live text at the start of each effective event, in order.
        num_backtracks: Edits that erased something.
        num_events: Effective events.
        num_noops: Edits on an empty response.
        num_erased: Erased tokens.
        raw_length: Actions.
        resolved_length: Tokens that are left.
    """

    final: str
    raw: str
    before: tuple[str, ...]
    num_backtracks: int
    num_events: int
    num_noops: int
    num_erased: int
    raw_length: int
    resolved_length: int

    def counts(self) -> dict[str, float]:
        """The counts by name, with ``backtracked`` (0 or 1) and ``token_efficiency`` (resolved/raw)."""
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
    """What a verifier or a host's scoring function says of one answer.

    Attributes:
        outcome: Right, wrong, or no answer at all.
        score: What the outcome is worth.
        accuracy: 1.0 for a right answer, 0.0 for any other; a host's own figure where it gives one.
    """

    outcome: "Outcome"
    score: float
    accuracy: float

    @classmethod
    def of(cls, outcome: "Outcome") -> "Verdict":
        """The verdict worth 1 for a right answer and 0 for any other."""
        from halluc_plugin.verifiers import Outcome

        worth = float(outcome is Outcome.CORRECT)
        return cls(outcome, worth, worth)


@dataclass(frozen=True)
class Answer:
    """A judged trace.

    Attributes:
        trace: Texts and counts.
        final: Verdict on the resolved text.
        raw: Verdict on the raw text.
        was_right: For each effective event, whether the live text before it could still become a right
            answer; None when nothing can judge prefixes. An incomplete prefix is never scored as an answer.
    """

    trace: Trace
    final: Verdict
    raw: Verdict
    was_right: tuple[bool, ...] | None


def observe(resolution: "Resolution", row: int, decode: Decode) -> Trace:
    """Read one row of a resolution.

    Args:
        resolution: A resolved batch.
        row: Which of its rows.
        decode: Ids to text; must spell out edit tokens, so they must not be special.

    Returns:
        Its texts and counts.
    """
    from halluc_plugin.edits import events

    live = resolution.resolved(row)
    edits = int(resolution.num_edits[row])
    final = decode(live)
    if not edits:
        return Trace(final, final, (), 0, 0, 0, 0, len(live), len(live))
    actions = resolution.ids[row][resolution.valid[row]].tolist()
    effective_events = [e for e in events(resolution) if e.row == row and e.effective]
    before = tuple(decode(_live_before(resolution, row, event.start)) for event in effective_events)
    effective = int(resolution.num_effective[row])
    return Trace(
        final=final,
        raw=decode(actions),
        before=before,
        num_backtracks=effective,
        num_events=len(before),
        num_noops=edits - effective,
        num_erased=int(resolution.erased[row].sum()),
        raw_length=len(actions),
        resolved_length=len(live),
    )


def _live_before(resolution: "Resolution", row: int, action: int) -> list[int]:
    """Ids that are live just before an action."""
    text = resolution.valid[row, :action] & ~resolution.is_edit[row, :action]
    live = text & (resolution.erased_at[row, :action] >= action)
    return resolution.ids[row, :action][live].tolist()


def judge(trace: Trace, verifier: "Verifier", problem: Mapping[str, Any]) -> Answer:
    """Judge a trace by a verifier, prefixes too when it can.

    Args:
        trace: What was written.
        verifier: Judge of answers; one with ``prefix_ok`` also judges the states before events.
        problem: The problem, as the verifier wants it.

    Returns:
        The judged trace.
    """
    from halluc_plugin.verifiers import PrefixVerifier

    final = Verdict.of(verifier.verify(problem, trace.final))
    raw = final if trace.raw == trace.final else Verdict.of(verifier.verify(problem, trace.raw))
    was_right = None
    if isinstance(verifier, PrefixVerifier):
        was_right = tuple(verifier.prefix_ok(problem, text) for text in trace.before)
    return Answer(trace, final, raw, was_right)
