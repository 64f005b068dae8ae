"""Simulate the process of :mod:`.search_law` step by step, without any formula of that module."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from halluc_plugin.theory.estimates import check_samples
from halluc_plugin.theory.proposals import Distinct, Mixed, Proposal
from halluc_plugin.theory.search_law import SearchLaw, Unit
from halluc_plugin.verifiers import StepKind


@dataclass(frozen=True)
class SearchRuns:
    """Simulated runs; every array has one number for each run.

    Attributes:
        right: Whether the answer was right.
        tokens: Number of sampled tokens.
        seen_soft: Number of positions that the tokens attended to in soft context, without the prompt.
        seen_hard: The same number in hard context.
    """

    right: npt.NDArray[np.bool_]
    tokens: npt.NDArray[np.float64]
    seen_soft: npt.NDArray[np.float64]
    seen_hard: npt.NDArray[np.float64]


class _State:
    """A state of one run: its own chances, and what was not tried yet."""

    def __init__(self, proposal: Proposal, depth: int, rng: np.random.Generator, *, alive: bool) -> None:
        self.alive, self._proposal, self._rng, self._next = alive, proposal, rng, depth
        if depth == proposal.depth:
            return
        if isinstance(proposal, Distinct):
            self._slip = proposal.slips[depth]
            self.renew()
        else:
            slip, dead = (rates[depth] for rates in (proposal.slips, proposal.dead))  # type: ignore[attr-defined]
            live = 1 - slip - dead
            if isinstance(proposal, Mixed) and math.isfinite(proposal.certainty[depth]) and 0 < live < 1:
                live = float(
                    rng.beta(live * proposal.certainty[depth], (1 - live) * proposal.certainty[depth])
                )
            self._live, self._slip_of_failures = live, slip / (slip + dead) if slip + dead else 0.0

    def renew(self) -> None:
        """Let every branch be tried again."""
        assert isinstance(self._proposal, Distinct)
        dead, live = self._proposal.dead[self._next], self._proposal.live[self._next]
        kind = StepKind.LIVE if self.alive else StepKind.DEAD
        self._left = [StepKind.DEAD] * dead + [kind] * live

    @property
    def exhausted(self) -> bool:
        return isinstance(self._proposal, Distinct) and not self._left

    def draw(self) -> StepKind:
        if isinstance(self._proposal, Distinct):
            if self.alive and self._rng.random() < self._slip:
                return StepKind.SLIP
            weights = [self._proposal.weights[self._next] if b is StepKind.LIVE else 1.0 for b in self._left]
            chosen = self._rng.choice(len(self._left), p=np.array(weights) / sum(weights))
            return self._left.pop(int(chosen))
        if not self.alive:
            return StepKind.DEAD
        if self._rng.random() < self._live:
            return StepKind.LIVE
        return StepKind.SLIP if self._rng.random() < self._slip_of_failures else StepKind.DEAD


def simulate_search(law: SearchLaw, samples: int, rng: np.random.Generator) -> SearchRuns:
    """Simulate the process.

    Args:
        law: The law with the parameters of the process.
        samples: Number of independent runs.
        rng: Source of randomness.

    Returns:
        The outcome and costs of each run.

    Raises:
        SettingsError: ``samples`` is below 2.
    """
    check_samples(samples)
    runs = [_run(law, rng) for _ in range(samples)]
    right, tokens, soft, hard = (np.array(column) for column in zip(*runs, strict=True))
    return SearchRuns(right, tokens, soft, hard)


def _run(law: SearchLaw, rng: np.random.Generator) -> tuple[bool, float, float, float]:
    path = [_State(law.proposal, 0, rng, alive=True)]
    lengths = [0]
    left, soft, hard, tokens = law.edits, 0.0, 0.0, 0

    def sampled(live_before: int) -> None:
        nonlocal soft, hard, tokens
        tokens += 1
        soft += tokens
        hard += live_before + 1

    while True:
        here = path[-1]
        depth, may = len(path) - 1, len(path) > 1 and left > 0
        chance = (law.false_alarm if here.alive else law.recall)[depth - 1] if depth else 0.0
        if may and (rng.random() < chance or (depth < law.proposal.depth and here.exhausted)):
            for erased in range(int(law.step_tokens[depth - 1]) if law.unit is Unit.TOKEN else 1):
                sampled(lengths[-1] - erased)
            keep = 1 if law.unit is Unit.RESTART else depth
            del path[keep:], lengths[keep:]
            left -= 1
        elif depth == law.proposal.depth:
            sampled(lengths[-1])
            return here.alive, tokens, soft, hard
        else:
            if here.exhausted:
                here.renew()
            alive = here.draw() is StepKind.LIVE
            for written in range(int(law.step_tokens[depth])):
                sampled(lengths[-1] + written)
            lengths.append(lengths[-1] + int(law.step_tokens[depth]))
            path.append(_State(law.proposal, depth + 1, rng, alive=alive))
