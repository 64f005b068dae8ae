"""Find signs that a run learns nothing, or something wrong, from the metrics of its steps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from halluc_plugin.metrics import Discrimination

PATIENCE = 3
"""Number of consecutive steps that show a sign before it is reported, as one step is noise."""
MOST = 0.5
"""Share of events that stutter, and of answers that are cut off or overrated, above which there is a sign."""
NEAR_ZERO = 0.15
"""Upper limit of D below which a start tells dead from live texts too rarely to build on."""
FIRST_LOOK = 4
"""Factor by which more answers than in other steps are judged for this, once in a run."""


class Sign(StrEnum):
    """A sign that something is wrong with a run."""

    SILENT = "silent"
    """Nothing is taken back, although it could be."""
    ALIKE = "alike"
    """The answers to each prompt have equal rewards, and edits get no credit: group-relative advantages are
    0."""
    STUTTERING = "stuttering"
    """Most events begin directly after another one: what was rewritten is erased again."""
    CUT_OFF = "cut off"
    """Most answers do not end."""
    OVERRATED = "overrated"
    """Most answers are wrong, and the scorer of steps takes them for right."""


ADVICE = {
    Sign.SILENT: "no answer takes anything back, so nothing is learned about it. A new token must be taught "
    "first: halluc train or +recipe=halluc_sft on traces with backtracks (halluc data).",
    Sign.ALIKE: "all answers to a prompt earn the same, for every prompt: no group has an advantage. Take "
    "problems that the model solves sometimes, or more answers a prompt (actor_rollout_ref.rollout.n).",
    Sign.STUTTERING: "more than half of the backtracks begin right behind another one. Limit them "
    "(halluc.max_backtracks, halluc.curriculum), or pay single events (halluc.credit.alpha).",
    Sign.CUT_OFF: "more than half of the answers are cut off before they end. Raise "
    "data.max_response_length, or limit backtracks (halluc.max_backtracks).",
    Sign.OVERRATED: "more than half of the answers are wrong, and the scorer of steps likes them: what it "
    "pays for is not what is right. Train it on values of the policy as it is now (halluc data values), or "
    "pay less by it.",
}


def signs(metrics: Mapping[str, float], *, may_edit: bool) -> Iterator[Sign]:
    """Yield the signs that one step shows.

    Args:
        metrics: The metrics of the step, by their names in a tracker. A missing metric gives no sign.
        may_edit: Whether the model could have used edits.
    """
    if metrics.get("backtrack/rate") == 0 and may_edit:
        yield Sign.SILENT
    uncredited = metrics.get("backtrack/degenerate/credit", 1.0) == 1
    if metrics.get("backtrack/degenerate/groups") == 1 and uncredited:
        yield Sign.ALIKE
    if metrics.get("backtrack/stutter_rate", 0.0) > MOST:
        yield Sign.STUTTERING
    if metrics.get("backtrack/truncated", 0.0) > MOST:
        yield Sign.CUT_OFF
    if metrics.get("backtrack/scorer_overrates", 0.0) > MOST:
        yield Sign.OVERRATED


@dataclass
class SignWatch:
    """Reports each sign once when it has lasted, and once more when it comes back."""

    _lasted: dict[Sign, int] = field(default_factory=dict)

    def observe(self, step: int, metrics: Mapping[str, float], *, may_edit: bool) -> list[str]:
        """Take the metrics of a step into account.

        Args:
            step: Number of the step.
            metrics: The metrics of the step, by their names in a tracker.
            may_edit: Whether the model could have used edits.

        Returns:
            A warning of a sentence or two for each sign to report.
        """
        seen = set(signs(metrics, may_edit=may_edit))
        self._lasted = {sign: self._lasted.get(sign, 0) + 1 for sign in Sign if sign in seen}
        return [
            f"for {PATIENCE} steps, up to step {step}, {ADVICE[sign]}"
            for sign, lasted in self._lasted.items()
            if lasted == PATIENCE
        ]


def blind_start(found: Discrimination, *, credited: bool) -> str | None:
    """Return a warning about a start from which outcome rewards cannot teach when to edit.

    Args:
        found: The discrimination in answers that the start sampled.
        credited: Whether edits are credited by what they gain.

    Returns:
        The figures, the cause and the cure; None if D may well be above 0, or is not known.
    """
    gap = found.difference
    if not (found.dead.n and found.live.n and gap.high < NEAR_ZERO):
        return None
    cure = (
        "halluc.credit.alpha, which this run has, raises D slowly from there."
        if credited
        else "Or pay edits what they gain (halluc.credit.alpha=1), which raises D slowly."
    )
    return (
        "before the first update the model hardly tells dead ends from live text: at the end of a step it "
        f"edits with probability {found.dead.value:.2f} where the goal is out of reach "
        f"({found.dead.n} places) and {found.live.value:.2f} where it is not ({found.live.n}); "
        f"D = {gap.value:.2f}, 95 % interval [{gap.low:.2f}, {gap.high:.2f}]. "
        "From D near 0 rewards for answers bury the token or leave it as it is. Fine-tune first on traces "
        "that go into dead ends and take them back: halluc data, then halluc train or +recipe=halluc_sft. "
        f"{cure}"
    )
