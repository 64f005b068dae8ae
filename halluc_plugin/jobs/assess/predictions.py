"""Predict by the search law what a measured model gains, compared with samples at as many tokens.

Contexts: In hard context tries are memoryless. They have the measured rates, mixed over states as far as
retries show that some are harder (:class:`halluc_plugin.theory.proposals.Mixed`). In soft context a policy
can see what it tried. It draws distinct branches, if the oracle counts them, as unevenly as the measured
rates say.

Detection: With ``now``, the model's best signal is cut at its threshold. With ``seen``, every dead text that
shows that it is dead is noticed, and no live one is taken for dead, which a policy can be taught from live
text alone. With ``perfect``, every dead text is noticed at once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from halluc_plugin.edits import Context
from halluc_plugin.jobs.assess.measures import Measured, StepMeasure
from halluc_plugin.jobs.assess.signals import SignalMeasure
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.theory.parallel import at_tokens
from halluc_plugin.theory.proposals import Distinct, Mixed, Proposal
from halluc_plugin.theory.search_law import SearchLaw, Unit

CERTAIN = 1e9
"""Certainty above which the result is the same as for states that are all alike."""


class Detection(StrEnum):
    """The way in which dead texts are noticed."""

    NOW = "now"
    SEEN = "seen"
    PERFECT = "perfect"


@dataclass(frozen=True)
class Prediction:
    """The prediction for one policy that takes back, with samples that cost as many tokens.

    Attributes:
        unit: The unit that is taken back.
        context: What the model sees after taking back, soft or hard.
        detection: The way in which dead texts are noticed.
        success: Probability that the answer is right, in [0, 1].
        tokens: Expected number of sampled tokens of an answer.
        taken_back: Expected number of times that an answer takes something back.
        positions: Expected number of positions that the sampled tokens attend to together.
        flops: Expected forward FLOPs of an answer, prompt included.
        samples: Number of plain answers that cost as many tokens.
        majority: Accuracy of that many plain answers by majority.
        best_of: Accuracy of that many plain answers with a free check of the goal.
        beyond: Whether ``samples`` exceeds the number sampled; ``majority`` and ``best_of`` are then those of
            all samples.
    """

    unit: Unit
    context: Context
    detection: Detection
    success: float
    tokens: float
    taken_back: float
    positions: float
    flops: float
    samples: float
    majority: float
    best_of: float
    beyond: bool


def predict(
    measured: Measured, signal: SignalMeasure | None, edits: int, shape: DecoderShape
) -> list[Prediction]:
    """Return the predictions for all units, contexts and ways of detection.

    Args:
        measured: The measurements of the model.
        signal: The signal that tells dead from live now; None leaves :attr:`Detection.NOW` out.
        edits: Largest number of times that something is taken back in one answer.
        shape: Sizes of the model, for FLOPs.
    """
    found = []
    for detection, recall, alarm in _detections(measured, signal):
        for context in Context:
            for unit in Unit:
                proposal = proposal_of(measured, context, unit)
                sizes = tuple(max(1.0, step.tokens) for step in measured.steps)
                law = SearchLaw(proposal, recall, alarm, edits, unit, sizes)
                found.append(_prediction(law, context, detection, measured, shape))
    return found


def plain_success(measured: Measured) -> float:
    """Return P(right) of one answer by its step rates alone, to be compared with the measured accuracy."""
    return math.prod(_live(step) for step in measured.steps)


def _live(step: StepMeasure) -> float:
    return max(0.0, 1 - step.slip.value - step.dead.value)


Rates = tuple[float, ...]


def _detections(measured: Measured, signal: SignalMeasure | None) -> Iterator[tuple[Detection, Rates, Rates]]:
    none = (0.0,) * len(measured.steps)
    if signal is not None:
        yield Detection.NOW, tuple(signal.recall), tuple(signal.false_alarm)
    if all(step.seen is not None for step in measured.steps):
        seen = [step.seen for step in measured.steps if step.seen is not None]
        # Where no text was dead there is nothing to see.
        yield Detection.SEEN, tuple(share.value if share.n else 1.0 for share in seen), none
    yield Detection.PERFECT, (1.0,) * len(measured.steps), none


def proposal_of(measured: Measured, context: Context, unit: Unit) -> Proposal:
    """Return the distribution from which steps are drawn in a context."""
    steps = measured.steps
    slips, dead = tuple(step.slip.value for step in steps), tuple(step.dead.value for step in steps)
    restarts = unit is Unit.RESTART and len(steps) > 1
    counted = all(step.dead_branches is not None for step in steps)
    if context is Context.HARD or restarts or not counted:
        return Mixed(slips, dead, tuple(_certainty(step) for step in steps))
    branches = [_branches(step) for step in steps]
    weights = [_weight(step, *counts) for step, counts in zip(steps, branches, strict=True)]
    return Distinct(slips, tuple(d for d, _ in branches), tuple(n for _, n in branches), tuple(weights))


def _branches(step: StepMeasure) -> tuple[int, int]:
    """Dead and live ones; where it never went into a dead end it knows which they are."""
    assert step.dead_branches is not None
    assert step.live_branches is not None
    dead = max(1, round(step.dead_branches)) if step.dead.value else 0
    return dead, max(1, round(step.live_branches))


def _weight(step: StepMeasure, dead: int, live: int) -> float:
    """How much likelier than a dead branch a live one is drawn, so that the first try is as measured."""
    if not dead:
        return 1.0
    share = min(step.dead.value / max(1e-9, 1 - step.slip.value), 1 - 1e-9)
    return (1 - share) / share * dead / live


def _certainty(step: StepMeasure) -> float:
    """Return the certainty of the mixture of states, from a retry after one failure: live/(1 + 1/c)."""
    live, retry = _live(step), step.retry
    if not retry.n or retry.low <= live <= retry.high or retry.value >= live:
        return CERTAIN
    return min(CERTAIN, max(1e-3, retry.value / (live - retry.value)))


def _prediction(
    law: SearchLaw, context: Context, detection: Detection, measured: Measured, shape: DecoderShape
) -> Prediction:
    prompt, samples = measured.prompt_tokens, law.tokens / measured.tokens
    positions = law.context(round(prompt), hard=context is Context.HARD)
    whole = positions + prompt * (prompt + 1) / 2
    given = min(samples, float(measured.samples))
    return Prediction(
        unit=law.unit,
        context=context,
        detection=detection,
        success=law.success,
        tokens=law.tokens,
        taken_back=law.taken_back,
        positions=positions,
        flops=float(shape.flops(round(prompt + law.tokens), round(whole))),
        samples=samples,
        majority=at_tokens(lambda k: measured.majority_at[k].value, given),
        best_of=at_tokens(lambda k: measured.pass_at[k].value, given),
        beyond=samples > measured.samples,
    )
