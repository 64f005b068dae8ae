"""The settings of a probe of signals, and the names of the signals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from halluc_plugin.errors import MetricError, SettingsError


class Signal(StrEnum):
    """The signals that a text may be dead; the larger, the likelier."""

    ENTROPY = "entropy"
    """Entropy of the next token of text, the mean over a step."""
    MARGIN = "margin"
    """Minus the difference of the two largest probabilities, the mean over a step."""
    EDIT = "edit"
    """The model's own probability of an edit behind a step."""
    PHASE_SHIFT = "phase-shift"
    """Minus the cosine of hidden states at two tokens, the largest in a step (LPSR, arXiv 2604.18567)."""
    LINEAR_HEAD = "linear-head"
    """A verifier head on hidden states, one linear layer."""
    TWO_LAYER_HEAD = "two-layer-head"
    """A verifier head on hidden states, with one hidden layer."""
    MIND = "mind"
    """A head whose labels are made without supervision (arXiv 2403.06448)."""
    EIGENSCORE = "eigenscore"
    """How much K continuations differ inside the model (INSIDE, arXiv 2402.03744)."""
    SEMANTIC_ENTROPY = "semantic-entropy"
    """Entropy of what K continuations come to (S. Farquhar et al., Nature 630 (2024) 625)."""


HEADS = frozenset({Signal.LINEAR_HEAD, Signal.TWO_LAYER_HEAD, Signal.MIND})
"""The signals that are fitted on hidden states."""
FITTED = frozenset({Signal.LINEAR_HEAD, Signal.TWO_LAYER_HEAD})
"""The heads that are fitted on places of the probed problems, MIND's being fitted on references."""
CONTINUED = frozenset({Signal.EIGENSCORE, Signal.SEMANTIC_ENTROPY})
"""The signals that compare continuations, which are sampled at the ends of steps alone."""


@dataclass(frozen=True)
class SignalJob:
    """The settings of a probe of signals.

    Args:
        model: Model folder or hub name.
        data: Problems of which the verifier judges steps or prefixes.
        signals: The signals, each once.
        without: A second policy, such as one that was trained without the token; None for none.
        layer: Number of the layer whose states are read, None for the last one (heads) or the middle one
            (EigenScore, phase shift).
        continuations: Number of continuations of a place that are compared.
        references: Trace file of right answers, from which MIND makes its labels; None without MIND.
        false_alarm: Largest share of live steps that a threshold may flag, in (0, 1).
        samples: Number of answers to each problem.
        places: Largest number of places of each kind, dead and live, in a problem.
        max_tokens: Largest number of tokens of an answer.
        temperature: Sampling temperature, above 0.
        step_delimiter: Text that ends a step.
        limit: Number of problems, from the first; None for all.
        seed: Seed of all samples and fits.
        trust_remote_code: Whether code that comes with the model may run.
        apply_chat_template_kwargs: Further arguments of the model's chat template.

    Raises:
        SettingsError: A value is out of range, or a setting has no meaning for the signals.
        MetricError: Fewer than two continuations are to be compared.
    """

    model: str
    data: Path
    signals: tuple[Signal, ...]
    without: str | None = None
    layer: int | None = None
    continuations: int | None = None
    references: Path | None = None
    false_alarm: float = 0.05
    samples: int = 8
    places: int = 8
    max_tokens: int = 256
    temperature: float = 1.0
    step_delimiter: str = "\n"
    limit: int | None = 200
    seed: int = 0
    trust_remote_code: bool = False
    apply_chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.signals or len(set(self.signals)) < len(self.signals):
            raise SettingsError("No signal is named, or one is named twice.", "Name each signal once.")
        if self.continuations is not None and self.continuations < 2:
            raise MetricError(
                f"{self.continuations} continuation has nothing to be compared with.",
                "Give --continuations 2 or more.",
            )
        self._require_use("--continuations", self.continuations, CONTINUED)
        self._require_use("--references", self.references, {Signal.MIND})
        self._require_use("--layer", self.layer, HEADS | {Signal.EIGENSCORE, Signal.PHASE_SHIFT})
        if Signal.MIND in self.signals and self.references is None:
            raise SettingsError(
                "mind makes its labels from right answers, and there are none.",
                "Give --references TRACES, a trace file of other problems in the model's ids.",
            )
        if not 0 < self.false_alarm < 1:
            raise SettingsError(f"--false-alarm is {self.false_alarm}.", "Give a share above 0 and below 1.")
        if self.temperature <= 0:
            raise SettingsError("At temperature 0 all answers would be the same.", "Give one above 0.")

    def _require_use(self, option: str, value: Any, signals: frozenset[Signal] | set[Signal]) -> None:
        if value is not None and signals.isdisjoint(self.signals):
            raise SettingsError(
                f"{option} means nothing for {', '.join(self.signals)}.",
                f"Leave it out, or name {' or '.join(sorted(signals))}.",
            )
