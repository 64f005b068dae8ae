"""What a policy proposes where it stands, and what it remembers of what it took back there.

A step is *live* where the goal stays within reach, a *slip* where the rules do not allow it, and a *dead end*
where they do and the goal is out of reach behind it. What was taken back at a state is kept as two counts:
steps that were not live, and live ones (false alarms).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from halluc_plugin.errors import SettingsError
from halluc_plugin.theory.estimates import check_share
from halluc_plugin.verifiers import StepKind


class Tried(NamedTuple):
    """What was taken back at a state: how many steps that were not live, and how many live ones."""

    failed: int = 0
    live: int = 0


Chances = dict[StepKind, float]
"""How likely each kind of step is; they add to 1."""


class Proposal(Protocol):
    """How steps are drawn.

    Attributes:
        remembers: Whether what was tried changes what is drawn.
    """

    remembers: bool

    @property
    def depth(self) -> int:
        """Steps of an answer, S."""
        ...

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:
        """Of the step that makes a text ``depth`` steps long; None where nothing is left to try.

        Args:
            depth: From 1 to S.
            tried: What was taken back at the state.
            alive: Whether the state is live; of a dead one all steps are dead.
        """
        ...

    def after(self, tried: Tried, step: StepKind) -> Tried:
        """What was tried, one step more."""
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
    """The same chances at every try: uniform tries, a policy in hard context.

    Args:
        slips: For each step of an answer the probability of a slip where the text is live.
        dead: The same of a dead end.

    Raises:
        SettingsError: Rates are no probabilities, add to more than 1, or are not one for each step.
    """

    slips: tuple[float, ...]
    dead: tuple[float, ...]
    remembers = False

    def __post_init__(self) -> None:
        _check_rates(self.slips, self.dead)

    @property
    def depth(self) -> int:
        """Steps of an answer."""
        return len(self.dead)

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:  # noqa: ARG002
        """The rates."""
        return _of_rates(self.slips[depth - 1], self.dead[depth - 1]) if alive else {StepKind.DEAD: 1.0}

    def after(self, tried: Tried, step: StepKind) -> Tried:  # noqa: ARG002 - nothing is remembered
        """As before."""
        return tried


@dataclass(frozen=True)
class Mixed:
    """Memoryless tries of a policy that finds some states harder than others.

    At each state the probability of a live step is drawn once, from a beta distribution. Failures at a state
    tell that it is hard: behind t failures and l live steps that were taken back, the next is live with
    probability (A + l)/(A + B + t + l) (Pólya's urn; exact, since tries at one state are exchangeable).

    Args:
        slips: As :class:`Memoryless`; means over states.
        dead: Likewise.
        certainty: A + B for each step, above 0; math.inf where all states are alike.

    Raises:
        SettingsError: As :class:`Memoryless`, or a certainty is not positive.
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
        """Steps of an answer."""
        return len(self.dead)

    def live_chance(self, depth: int, tried: Tried = Tried()) -> float:  # noqa: B008 - it is immutable
        """Of a live step at a live state, behind what was tried there."""
        mean = max(0.0, 1 - self.slips[depth - 1] - self.dead[depth - 1])
        # Divided by A + B, which may be infinite.
        weight = 1 / self.certainty[depth - 1]
        return (mean + tried.live * weight) / (1 + sum(tried) * weight)

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:
        """By Pólya's urn; slips and dead ends in the proportion of their rates."""
        if not alive:
            return {StepKind.DEAD: 1.0}
        slip, dead, live = self.slips[depth - 1], self.dead[depth - 1], self.live_chance(depth, tried)
        share = slip / (slip + dead) if slip + dead else 0.0
        return _of_rates((1 - live) * share, (1 - live) * (1 - share))

    def after(self, tried: Tried, step: StepKind) -> Tried:
        """Every step counts."""
        return Tried(tried.failed + (step is not StepKind.LIVE), tried.live + (step is StepKind.LIVE))


@dataclass(frozen=True)
class Distinct:
    """Tries with a memory: a branch that was taken back is not tried again, until the state is left.

    A slip is no branch and may come again. Of a dead state all branches are dead.

    Args:
        slips: For each step of an answer the probability of a slip where the text is live.
        dead: For each step, how many branches lead into dead ends.
        live: For each step, how many do not; at least 1.
        weights: For each step, how much likelier than a dead branch a live one is drawn, where both are left;
            1 everywhere where none are given.

    Raises:
        SettingsError: Slips are no probabilities, there is no live branch, a weight is not positive, or
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
        """Steps of an answer."""
        return len(self.dead)

    def chances(self, depth: int, tried: Tried, *, alive: bool) -> Chances | None:
        """By weight, over the branches that are left."""
        slip, dead, live = self.slips[depth - 1], self.dead[depth - 1], self.live[depth - 1]
        if not alive:
            return {StepKind.DEAD: 1.0} if sum(tried) < dead + live else None
        left_dead, left_live = dead - tried.failed, (live - tried.live) * self.weights[depth - 1]
        if not left_dead + left_live:
            return None
        return _of_rates(slip, (1 - slip) * left_dead / (left_dead + left_live))

    def after(self, tried: Tried, step: StepKind) -> Tried:
        """Branches count, slips do not."""
        return Tried(tried.failed + (step is StepKind.DEAD), tried.live + (step is StepKind.LIVE))
