"""Backtrack as a process reward model guides: Algorithm 1 of OpenReview hJ2BCYGvFg.

An answer is rated step by step. The step that lowers the chance of success most is taken back with all that
follows, the rest is rewritten several times, and the best new answer is kept if it is better.

The paper leaves some points open, which are decided here as follows:

1. The step of least advantage itself is rewritten, as the text says (section 3.2); line 9 of the listing can
   be read as one step more.
2. "Improved" (line 11) means a strictly larger final value. An exact judge gives all wrong answers the same
   final value, so that an answer with one mistake less is dropped; :attr:`Better.PROGRESS` keeps it.
3. Advantages are recomputed on the best answer, not on the one that was tried last.
4. The stopping rule is applied to the first answer, too. The listing applies it only after a revision, and
   so revises an answer that needs none.
5. The first step may be chosen: the bare prompt has a value, too (eq. 9, where eq. 11 begins at step 2).
6. Differences within 1e-6 of the margin are within it: values are float32.
7. An answer that was cut off ends with a step that is worth 0, and a suffix that does not end does not
   compete.
8. With a beam instead of best-of-N (eq. 5) the N suffixes become N proposals of each kept prefix.
9. A scorer that sees earlier attempts (section 3.3) is shown, after the prompt, the answers that have been
   revised so far, each once. Values of the best answer stay those that it was given when it was written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from halluc_plugin.errors import SettingsError, TraceError
from halluc_plugin.sampling.states import End, GuidedSearch, Response, Space, Writer, wanted
from halluc_plugin.search.guided import Part, RatedResponse, answer_first, draw, rate, require_steps
from halluc_plugin.search.value_beams import finished_from

ROUNDING = 1e-6
Reading = Callable[[Sequence[RatedResponse]], tuple[int, ...]]
"""What a scorer reads before an answer, from the answers that were revised before it, oldest first."""


class Arm(StrEnum):
    """The step that is revised."""

    MIN_ADVANTAGE = "min-advantage"
    """The step of least advantage, or an earlier one within the margin (eq. 16), as in the paper."""
    FIRST = "first"
    """The first step: the whole answer is rewritten."""
    RANDOM = "random"
    """A random step, all equally likely."""
    LIKELIHOOD = "likelihood"
    """The step that was least likely when it was sampled, by the mean log-probability of its tokens."""


class Better(StrEnum):
    """The rule that decides whether a new answer replaces the one that was revised."""

    FINAL = "final"
    """An answer with a larger final value replaces it."""
    PROGRESS = "progress"
    """An answer with a larger final value replaces it, and so does one with the same final value whose
    values, with that of the bare prompt, have a larger mean."""

    def key(self, rated: RatedResponse) -> tuple[float, float]:
        """Return the values by which answers are compared, in order."""
        return rated.worth, 0.0 if self is Better.FINAL else sum(rated.values) / len(rated.values)


@dataclass(frozen=True)
class Revising:
    """How answers are revised.

    Args:
        n: Number of suffixes of a revision, N.
        revisions: Largest number of revisions, M.
        omega: Margin within which an earlier step is preferred, ω.
        p_des: Final value at which an answer is good enough.
        arm: The step that is revised.
        better: The rule that decides whether a new answer is kept.
        width: Number of prefixes kept by a beam over steps, which then writes the suffix; None for best-of-N.
        writer: The model that writes the suffixes.
        seed: Seed of the steps that :attr:`Arm.RANDOM` draws.

    Raises:
        SettingsError: A value is out of range.
    """

    n: int = 4
    revisions: int = 4
    omega: float = 0.0
    p_des: float = 0.9
    arm: Arm = Arm.MIN_ADVANTAGE
    better: Better = Better.FINAL
    width: int | None = None
    writer: Writer = Writer.POLICY
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or self.revisions < 0:
            raise SettingsError(
                f"n is {self.n} and revisions {self.revisions}.",
                "Give n of at least 1, revisions of at least 0.",
            )
        if not self.omega >= 0:
            raise SettingsError(f"omega is {self.omega}.", "Give a margin of at least 0.")
        if not 0 <= self.p_des <= 1:
            raise SettingsError(f"p_des is {self.p_des}.", "Give a probability, in [0, 1].")
        if self.width is not None and self.width < 1:
            raise SettingsError(f"The width is {self.width}.", "Give at least 1.")


@dataclass(frozen=True)
class Revision:
    """One revision, as it is reported for drawing it.

    Attributes:
        before: The answer that was revised.
        step: The first step that was rewritten, counted from 1.
        candidates: The finished answers with new suffixes.
        after: The better of the answer before and the best candidate.
    """

    before: RatedResponse
    step: int
    candidates: Sequence[RatedResponse]
    after: RatedResponse


def revise(
    prompt: tuple[int, ...],
    space: Space,
    plan: Revising,
    *,
    first: Response | None = None,
    tell: Callable[[Revision], None] | None = None,
    reading: Reading | None = None,
) -> GuidedSearch:
    """Search one problem by Algorithm 1.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples.
        plan: How to revise.
        first: The answer to begin with; None samples one from the policy.
        tell: Function that is called with each revision; None for none.
        reading: Function that gives what the scorer reads before a new answer, for a scorer that sees earlier
            attempts, as :func:`halluc_plugin.data.value_turns.with_turns` writes them. None for the prompt
            alone.

    Returns:
        The search; it finds the best answer first, then all other finished ones that were rated.

    Raises:
        SettingsError: A reading is given, and a beam is to write the suffixes, whose prefixes are not turns.
        TraceError: The first answer ends no step, or continues after an EOS; or its least likely step is to
            be revised, and it has no log-probabilities.
    """
    if reading is not None and plan.width is not None:
        raise SettingsError(
            "A beam rates prefixes, and a scorer of turns rates whole answers after earlier ones.",
            "Leave the width out, or use a scorer that reads the prompt alone.",
        )
    if first is not None:
        require_steps(first, space)
        if plan.arm is Arm.LIKELIHOOD and len(first.logprobs) != len(first.ids):
            raise TraceError(
                f"The first answer has {len(first.ids)} ids and {len(first.logprobs)} log-probabilities, and "
                "its least likely step is to be revised.",
                "Give the log-probability of each id, or revise by another arm.",
            )
    return _revise(prompt, space, plan, first, tell=tell, reading=reading or (lambda _: prompt))


def _revise(
    prompt: tuple[int, ...],
    space: Space,
    plan: Revising,
    first: Response | None,
    *,
    tell: Callable[[Revision], None] | None,
    reading: Reading,
) -> GuidedSearch:
    rng = np.random.default_rng([plan.seed, *prompt])
    if first is None:
        (sample,) = yield from draw([wanted(prompt, Response(), space)])
        first = Response().extended(sample)
    (best,) = yield from rate(prompt, [first], space)
    others, turns = [best], [best]
    for _ in range(plan.revisions):
        if best.finished and best.worth >= plan.p_des:
            break
        step = step_to_revise(best, plan, rng)
        candidates = yield from _suffixes(prompt, best.before(step), space, plan, reading(turns))
        after = max([best, *candidates], key=plan.better.key)  # of equals the one that was there
        if tell is not None:
            tell(Revision(best, step, candidates, after))
        if after is not best:
            turns.append(after)
        best = after
        others += candidates
    return answer_first(best, others)


def step_to_revise(rated: RatedResponse, plan: Revising, rng: np.random.Generator) -> int:
    """Return the step that is rewritten, counted from 1.

    Args:
        rated: An answer with values.
        plan: How answers are revised, with the arm and its margin.
        rng: Source of randomness for :attr:`Arm.RANDOM`.
    """
    count = len(rated.steps)
    if plan.arm is Arm.FIRST:
        return 1
    if plan.arm is Arm.RANDOM:
        return int(rng.integers(1, count + 1))
    if plan.arm is Arm.LIKELIHOOD:
        means = [_mean_logprob(rated, step) for step in range(1, count + 1)]
        return 1 + means.index(min(means))
    advantages = rated.advantages
    least = min(advantages)
    return next(j for j, a in enumerate(advantages, start=1) if abs(least - a) <= plan.omega + ROUNDING)


def _mean_logprob(rated: RatedResponse, step: int) -> float:
    start, length = len(rated.before(step).ids), len(rated.steps[step - 1])
    return sum(rated.response.logprobs[start : start + length]) / max(length, 1)


def _suffixes(
    prompt: tuple[int, ...], state: Response, space: Space, plan: Revising, read: tuple[int, ...]
) -> Part[list[RatedResponse]]:
    if plan.width is not None:
        beam = finished_from(prompt, state, space, plan.n, plan.width, writer=plan.writer)
        return (yield from beam)
    samples = yield from draw([wanted(prompt, state, space, writer=plan.writer)] * plan.n)
    ended = [state.extended(sample) for sample in samples if sample.end is End.EOS]
    return (yield from rate(read, ended, space))
