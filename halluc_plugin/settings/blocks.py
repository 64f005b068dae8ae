"""The groups of the ``halluc:`` block."""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from halluc_plugin.credit.turn_stages import TurnStage
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.refusals import require_finite


class WarmStartTraces(StrEnum):
    """The traces that the embedded model is warm-started on."""

    BACKTRACK = "backtrack"
    """Solutions with errors and the edits that erase them."""
    CLEAN = "clean"
    """Solutions without errors: the baseline."""
    TURNS = "turns"
    """Two attempts each: the text before the first error was taken back, a request to try again, and the
    solution; the baseline with two turns."""


@dataclass(frozen=True)
class TokenSettings:
    """How token ids are interpreted.

    Args:
        step_delimiter: Text that ends a step; used when the tokenizer has a step backtrack token.
    """

    step_delimiter: str = "\n"


@dataclass(frozen=True)
class TurnSettings:
    """The settings of the agent loop ``refine``.

    Args:
        instruction: The user's message that asks for a second attempt.
        stage: The stage of SCoRe that pays each turn for its own attempt, in place of the reward of the whole
            answer, which is logged; null for that reward.
        alpha: In stage ``shape``, the factor of what the second attempt made better or worse.
        hold: With a stage, the weight of the divergence from the model that the run begins with: of the
            first turn in ``hold`` (the paper: 0.1), of both in ``shape`` (0.01).
    """

    instruction: str = "The answer above may contain an error. Find it, if there is one, and answer again."
    stage: TurnStage | None = None
    alpha: float = 10.0
    hold: float = 0.0

    def __post_init__(self) -> None:
        if not self.instruction:
            raise SettingsError("halluc.turns.instruction is empty.", "Say that a second attempt is wanted.")
        require_finite("halluc.turns.alpha", self.alpha)
        require_finite("halluc.turns.hold", self.hold)
        if self.alpha < 0 or self.hold < 0:
            raise SettingsError(
                f"halluc.turns.alpha is {self.alpha} and halluc.turns.hold {self.hold}.",
                "Give numbers of at least 0.",
            )
        if self.hold and self.stage is None:
            raise SettingsError(
                f"halluc.turns.hold is {self.hold}, and without a stage nothing is held.",
                "Set ++halluc.turns.stage=hold or shape, or use verl's KL loss, which holds all tokens.",
            )


class ResetAt(StrEnum):
    """The step that a failed answer is reset to."""

    RANDOM = "random"
    """A step drawn evenly (RRPO)."""
    LEAST_LIKELY = "least-likely"
    """The step of the smallest mean log-prob: found by the model itself, as in SRPO."""
    FIRST_ERROR = "first-error"
    """The first step that the verifier of prefixes refutes."""


@dataclass(frozen=True)
class ResetSettings:
    """The settings of the agent loop ``resets``.

    Args:
        at: The step that a failed answer is reset to.
    """

    at: ResetAt = ResetAt.RANDOM


@dataclass(frozen=True)
class GuardSettings:
    """When to stop because engine and actor disagree.

    Args:
        enabled: Whether to stop; how far the two are apart is logged either way.
        max_drift: Largest tolerated mean absolute Δ log p in nats; null chooses by dtype.
        min_correlation: Smallest tolerated Pearson correlation of the log-probs; null chooses by dtype.
        min_tokens: Steps with fewer unmasked tokens are not judged.
    """

    enabled: bool = True
    max_drift: float | None = None
    min_correlation: float | None = None
    min_tokens: int = 256

    def __post_init__(self) -> None:
        if self.max_drift is not None and not 0 < self.max_drift < math.inf:
            raise SettingsError(
                f"halluc.guard.max_drift is {self.max_drift}.",
                "Give a number above 0, or null to choose by dtype.",
            )
        if self.min_correlation is not None and not -1 <= self.min_correlation <= 1:
            raise SettingsError(
                f"halluc.guard.min_correlation is {self.min_correlation}.",
                "Give a number between -1 and 1, or null to choose by dtype.",
            )
        if self.min_tokens < 2:
            raise SettingsError(
                f"halluc.guard.min_tokens is {self.min_tokens}.",
                "Give at least 2: one token has no correlation.",
            )


@dataclass(frozen=True)
class FailureSettings:
    """When to stop because answers of a step fail or do not arrive.

    Args:
        tolerated: Share of the prompts of a step (or of a batch of a validation) whose rollout or reward may
            raise an error; their answers are missing from the step.
        stalled_after: Seconds without any new answer after which the run stops.
    """

    tolerated: float = 0.0
    stalled_after: float = 3600.0

    def __post_init__(self) -> None:
        if not 0 <= self.tolerated < 1:
            raise SettingsError(
                f"halluc.failures.tolerated is {self.tolerated}.", "Give a share from 0 to below 1."
            )
        if not 0 < self.stalled_after < math.inf:
            raise SettingsError(
                f"halluc.failures.stalled_after is {self.stalled_after}.", "Give seconds, above 0."
            )


@dataclass(frozen=True)
class TraceLogSettings:
    """Answers of training that are kept for reading; see :mod:`halluc_plugin.trace_log`.

    Args:
        per_step: Number of answers kept of each step, those to one prompt together, prompts drawn at random;
            0 keeps none.
        max_megabytes: Largest size of all files of a run together, in 10^6 bytes; the oldest steps are
            deleted to make room for a new one.
        edit_probs: Whether, on CPUs, halluc's engine also scores runs in soft context without limits. verl's
            engine gives the same log-probs, but not the probability of an edit before each action.
    """

    per_step: int = 4
    max_megabytes: float = 100.0
    edit_probs: bool = True

    def __post_init__(self) -> None:
        if self.per_step < 0:
            raise SettingsError(
                f"halluc.trace_log.per_step is {self.per_step}.", "Give an integer of at least 0."
            )
        require_finite("halluc.trace_log.max_megabytes", self.max_megabytes)


@dataclass(frozen=True)
class MetricSettings:
    """What is measured of each training step in addition to its rewards.

    Args:
        judged_per_step: Number of answers, drawn at random, whose every state the verifier judges, for the
            precision, recall and aim of their backtracks; 0 judges none.
        kappa: Largest distance in tokens from the end of the previous event at which an event stutters.
    """

    judged_per_step: int = 64
    kappa: int = 3

    def __post_init__(self) -> None:
        for name, least in (("judged_per_step", 0), ("kappa", 1)):
            if getattr(self, name) < least:
                raise SettingsError(
                    f"halluc.metrics.{name} is {getattr(self, name)}.",
                    f"Give an integer of at least {least}.",
                )


@dataclass(frozen=True)
class ReportSettings:
    """The comparison of a run's end with its beginning, in addition to validations: ``report.json``.

    Args:
        problems: Number of held-out problems, from the first of the first file, that both models answer once
            more at temperature 1, with edits and with edits banned; 0 for none.
        max_megabytes: Largest size of a model's weights, in 10^6 bytes; larger models are left out, as this
            would take long.
    """

    problems: int = 200
    max_megabytes: float = 100.0

    def __post_init__(self) -> None:
        if self.problems < 0:
            raise SettingsError(
                f"halluc.report.problems is {self.problems}.", "Give an integer of at least 0."
            )
        require_finite("halluc.report.max_megabytes", self.max_megabytes)


@dataclass(frozen=True)
class PrepareSettings:
    """The embedded model and data, made on first use.

    Args:
        seed: Seed of problems, initial weights and order.
        train_problems: Number of problems to train on.
        test_problems: Number of problems of each held-out kind (targets seen in training, targets never
            seen).
        warm_start_steps: Number of optimizer steps of masked fine-tuning.
        warm_start_batch_size: Number of traces in each of these steps.
        traces: The traces that the warm start learns from.
        task: The task of the problems: one that draws problems, as ``halluc data`` lists them.
        options: Options of ``halluc data TASK`` for its problems and traces by their names, such as
            ``{length: 6}``; others have that command's defaults, or for Countdown those of the demo.
        context: What each action sees in the warm start, if that learns from traces that take something back.
        erased_tokens: Whether such a warm start imitates erased tokens.
        shares: The shares of its loss.
    """

    seed: int = 0
    train_problems: int = 12000
    test_problems: int = 500
    warm_start_steps: int = 1600
    warm_start_batch_size: int = 64
    traces: WarmStartTraces = WarmStartTraces.BACKTRACK
    task: str = "countdown"
    options: dict[str, Any] = field(default_factory=dict)
    context: Context = Context.SOFT
    erased_tokens: ErasedTokens = ErasedTokens.MASK
    shares: LossShares = field(default_factory=LossShares)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingsError(f"halluc.prepare.seed is {self.seed}.", "Give an integer of at least 0.")
        for name in ("train_problems", "test_problems", "warm_start_steps", "warm_start_batch_size"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"halluc.prepare.{name} is {getattr(self, name)}.", "Give an integer of at least 1."
                )
