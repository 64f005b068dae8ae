"""Compute all event metrics of a set of traces at once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from halluc_plugin.metrics.erasure import ErasedShares, erased_steps, erased_tokens
from halluc_plugin.metrics.event_metrics import (
    Latency,
    LocalisationShares,
    event_precision,
    event_recall,
    latency,
    localisation,
)
from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.metrics.judged import JudgedTrace
from halluc_plugin.metrics.retries import repeat_rate, stutter_rate, success_after_backtrack


@dataclass(frozen=True)
class EventSummary:
    """All event metrics of a set of traces; each field has the value of the function of its name."""

    precision: Proportion
    recall: Proportion
    erased_tokens: ErasedShares
    erased_steps: ErasedShares
    localisation: LocalisationShares
    latency: Latency
    success: Proportion
    repeats: Proportion
    stutters: Proportion

    @property
    def specificity(self) -> Proportion:
        """1 - (good tokens deleted) / (good tokens written)."""
        return self.erased_tokens.good.complement()

    def as_metrics(self) -> dict[str, float]:
        """Return the values by name, for a logger."""
        aims = self.localisation
        return {
            "event_precision": self.precision.value,
            "event_recall": self.recall.value,
            "specificity": self.specificity.value,
            "bad_tokens_erased": self.erased_tokens.bad.value,
            "good_tokens_erased": self.erased_tokens.good.value,
            "bad_token_share": self.erased_tokens.base_rate,
            "bad_steps_erased": self.erased_steps.bad.value,
            "good_steps_erased": self.erased_steps.good.value,
            "bad_step_share": self.erased_steps.base_rate,
            **{f"localisation/{kind}": share.value for kind, share in aims.shares.items()},
            "localisation/token_precision": aims.token_precision.value,
            "localisation/token_recall": aims.token_recall.value,
            "latency": self.latency.value,
            "success_after_backtrack": self.success.value,
            "repeat_rate": self.repeats.value,
            "stutter_rate": self.stutters.value,
        }


def summarise_events(
    traces: Sequence[JudgedTrace], *, delimiters: Collection[int], kappa: int
) -> EventSummary:
    """Compute every event metric; each live prefix is judged once for all of them.

    Args:
        traces: Judged traces.
        delimiters: Ids that end a step.
        kappa: Distance in tokens up to which an event stutters, at least 1.

    Raises:
        MetricError: There are no delimiters, or ``kappa`` is below 1.
    """
    return EventSummary(
        precision=event_precision(traces),
        recall=event_recall(traces),
        erased_tokens=erased_tokens(traces),
        erased_steps=erased_steps(traces, delimiters),
        localisation=localisation(traces),
        latency=latency(traces),
        success=success_after_backtrack(traces, delimiters),
        repeats=repeat_rate(traces),
        stutters=stutter_rate(traces, kappa),
    )
