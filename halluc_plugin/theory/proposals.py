"""Model what a policy proposes in a state, and what it remembers of what it took back there.

A step is *live* if the goal stays within reach, a *slip* if the rules do not allow it, and a *dead end* if
they do and the goal is out of reach after it. Two counts describe what was taken back at a state: steps that
were not live, and live ones (false alarms).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_share
from halluc_plugin.verifiers import StepKind


class Tried(NamedTuple):
    """The numbers of steps that were taken back at a state: those that were not live, and live ones."""

    failed: int = 0
    live: int = 0


Chances = dict[StepKind, float]
"""The probability of each kind of step; they add to 1."""


class Proposal(Protocol):
    """The interface of a distribution from which steps are drawn.

    Attributes:
        remembers: Whether earlier tries change the distribution.
    """

    remembers: bool

    @property
    def depth(self) -> int:
        """The number of steps of an answer, S."""
        ...

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:
        """Return the chances of the step that makes a text ``depth`` steps long.

        The result is None if nothing is left to try.

        Args:
            depth: From 1 to S.
            tried: What was taken back at the state.
            alive: Whether the state is live; from a dead state all steps are dead.
        """
        ...

    def after(self, tried: Tried, step: StepKind) -> Tried:
        """Return what was tried at a state after one more step was taken back."""
        ...


def _check_rates(slips: Sequence[float], dead: Sequence[float]) -> None:
    if len(slips) != len(dead) or not slips:
        raise SettingsError(
            f"{len(slips)} rates of slips and {len(dead)} of dead ends.",
            "Pass one of each for every step, of one step at least.",
        )
    for slip, end in zip(slips, dead, strict=True):
        check_share("a rate of slips", slip)
        check_share("a rate of dead ends", end)
        if slip + end > 1 + 1e-9:
            raise SettingsError(
                f"Rates of {slip} slips and {end} dead ends add to more than 1.", "Pass shares of all steps."
            )


def _of_rates(slip: float, dead: float) -> Chances:
    return {StepKind.LIVE: max(0.0, 1 - slip - dead), StepKind.SLIP: slip, StepKind.DEAD: dead}


@dataclass(frozen=True)
class Memoryless:
    """A distribution that is the same at every try, as that of a policy in hard context.

    Args:
        slips: Probability of a slip at each step of an answer if the text is live.
        dead: Probability of a dead end at each step of an answer if the text is live.

    Raises:
        SettingsError: A rate is not a probability, two rates add to more than 1, or there is not one for each
            step.
    """

    slips: tuple[float, ...]
    dead: tuple[float, ...]
    remembers = False

    def __post_init__(self) -> None:
        _check_rates(self.slips, self.dead)

    @property
    def depth(self) -> int:
        """The number of steps of an answer, S."""
        return len(self.dead)

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:  # noqa: ARG002
        """Return the rates of the step, whatever was tried."""
        return _of_rates(self.slips[depth - 1], self.dead[depth - 1]) if alive else {StepKind.DEAD: 1.0}

    def after(self, tried: Tried, step: StepKind) -> Tried:  # noqa: ARG002 - nothing is remembered
        """Return ``tried`` unchanged, since nothing is remembered."""
        return tried


@dataclass(frozen=True)
class Mixed:
    """Memoryless tries of a policy that finds some states harder than others.

    At each state the probability of a live step is drawn once, from a beta distribution. Failures at a state
    show that it is hard: after t failures and l live steps that were taken back, the next is live with
    probability (A + l)/(A + B + t + l) (Pólya's urn; exact, since tries at one state are exchangeable).

    Args:
        slips: Mean probability over states of a slip at each step if the text is live.
        dead: Mean probability over states of a dead end at each step if the text is live.
        certainty: A + B for each step, above 0; math.inf if all states are alike.

    Raises:
        SettingsError: The rates are refused by :class:`Memoryless`, or a certainty is not positive.
    """

    slips: tuple[float, ...]
    dead: tuple[float, ...]
    certainty: tuple[float, ...]
    remembers = True

    def __post_init__(self) -> None:
        _check_rates(self.slips, self.dead)
        if len(self.certainty) != len(self.dead) or not all(value > 0 for value in self.certainty):
            raise SettingsError(f"Certainties {self.certainty}.", "Pass one for each step, above 0.")

    @property
    def depth(self) -> int:
        """The number of steps of an answer, S."""
        return len(self.dead)

    def live_chance(self, depth: int, tried: Tried = Tried()) -> float:  # noqa: B008 - it is immutable
        """Return the probability of a live step at a live state, given what was tried there."""
        mean = max(0.0, 1 - self.slips[depth - 1] - self.dead[depth - 1])
        # Divided by A + B, which may be infinite.
        weight = 1 / self.certainty[depth - 1]
        return (mean + tried.live * weight) / (1 + sum(tried) * weight)

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:
        """Return the chances by Pólya's urn, with slips and dead ends in the proportion of their rates."""
        if not alive:
            return {StepKind.DEAD: 1.0}
        slip, dead, live = self.slips[depth - 1], self.dead[depth - 1], self.live_chance(depth, tried)
        share = slip / (slip + dead) if slip + dead else 0.0
        return _of_rates((1 - live) * share, (1 - live) * (1 - share))

    def after(self, tried: Tried, step: StepKind) -> Tried:
        """Return what was tried with the step added; every step counts."""
        return Tried(tried.failed + (step is not StepKind.LIVE), tried.live + (step is StepKind.LIVE))


@dataclass(frozen=True)
class Distinct:
    """Tries with a memory: a branch that was taken back is not tried again, until the state is left.

    A slip is not a branch and may come again. All branches of a dead state are dead.

    Args:
        slips: Probability of a slip at each step of an answer if the text is live.
        dead: Number of branches at each step that lead into dead ends.
        live: Number of other branches at each step, at least 1.
        weights: For each step, how much likelier a live branch is drawn than a dead one if both are left; 1
            everywhere by default.

    Raises:
        SettingsError: A slip is not a probability, there is no live branch, a weight is not positive, or the
            lengths differ.
    """

    slips: tuple[float, ...]
    dead: tuple[int, ...]
    live: tuple[int, ...]
    weights: tuple[float, ...] = ()
    remembers = True

    def __post_init__(self) -> None:
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.slips))
        _check_rates(self.slips, (0.0,) * len(self.slips))
        if not len(self.slips) == len(self.dead) == len(self.live) == len(self.weights):
            raise SettingsError(
                f"{len(self.dead)} counts of dead branches, {len(self.live)} of live ones, "
                f"{len(self.slips)} rates of slips.",
                "Pass one of each for every step.",
            )
        if min(self.live) < 1 or min(self.dead) < 0 or min(self.weights) <= 0:
            raise SettingsError(
                "A live state has no live branch.", "Pass at least 1 of weight above 0 for each step."
            )

    @property
    def depth(self) -> int:
        """The number of steps of an answer, S."""
        return len(self.dead)

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:
        """Return the chances by weight over the branches that are left."""
        slip, dead, live = self.slips[depth - 1], self.dead[depth - 1], self.live[depth - 1]
        if not alive:
            return {StepKind.DEAD: 1.0} if sum(tried) < dead + live else None
        left_dead, left_live = dead - tried.failed, (live - tried.live) * self.weights[depth - 1]
        if not left_dead + left_live:
            return None
        return _of_rates(slip, (1 - slip) * left_dead / (left_dead + left_live))

    def after(self, tried: Tried, step: StepKind) -> Tried:
        """Return what was tried with the step added; branches count, slips do not."""
        return Tried(tried.failed + (step is StepKind.DEAD), tried.live + (step is StepKind.LIVE))
