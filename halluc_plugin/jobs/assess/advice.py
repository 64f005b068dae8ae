"""Write the five lines of advice: whether to train, which unit, which context, which data, what is known."""

from collections.abc import Sequence

from halluc_plugin.edits import Context
from halluc_plugin.jobs.assess.measures import Measured
from halluc_plugin.jobs.assess.predictions import Detection, Prediction
from halluc_plugin.jobs.assess.signals import Signals
from halluc_plugin.metrics import Proportion
from halluc_plugin.theory.search_law import Unit

WORTH = 0.05
"""Smallest gain in accuracy over a majority at equal tokens that is worth training for."""
EQUAL = 0.01
"""Difference of accuracies below which two policies are equal, and the cheaper one is chosen."""
TELLS = 0.1
"""D below which no signal tells dead from live."""


def headline(predictions: Sequence[Prediction]) -> Detection:
    """Return how well a policy can be taught to notice dead texts, as far as that is known."""
    known = {prediction.detection for prediction in predictions}
    return Detection.SEEN if Detection.SEEN in known else Detection.PERFECT


def chosen(predictions: Sequence[Prediction]) -> Prediction:
    """Return the most accurate prediction of the headline, the cheapest in FLOPs among equal ones."""
    asked = [each for each in predictions if each.detection is headline(predictions)]
    best = max(each.success for each in asked)
    return min((each for each in asked if each.success >= best - EQUAL), key=lambda each: each.flops)


def advice(measured: Measured, signals: Signals, predictions: Sequence[Prediction], source: str) -> list[str]:
    """Return the five lines of advice.

    Args:
        measured: The measurements of the model.
        signals: The signals that tell dead from live texts.
        predictions: The predictions of the search law.
        source: Data source of the rows.
    """
    best = chosen(predictions)
    return [
        _bother(measured, best),
        _unit(predictions, best),
        _context(predictions, best),
        _data(measured, best, source),
        _detection(signals),
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _interval(share: Proportion) -> str:
    return f"{_percent(share.value)} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def verdict(measured: Measured, best: Prediction) -> str:
    """Return ``yes``, ``no`` or ``without a free check``: whether training on edits pays.

    The last one is returned if plain samples that are checked for free do as well.
    """
    if best.success - max(measured.accuracy.value, best.majority) < WORTH:
        return "no"
    return "without a free check" if best.best_of >= best.success - EQUAL else "yes"


def _bother(measured: Measured, best: Prediction) -> str:
    answer = {
        "yes": "yes",
        "no": "no",
        "without a free check": "only where no check of the goal is free",
    }[verdict(measured, best)]
    noticed = "what shows is" if best.detection is Detection.SEEN else "all dead text is"
    return (
        f"Bother: {answer}. Where {noticed} noticed, {best.unit} backtracks in {best.context} context answer "
        f"{_percent(best.success)} at {best.tokens:.0f} tokens; one answer is right "
        f"{_interval(measured.accuracy)}, a majority of as many tokens {_percent(best.majority)}, best of "
        f"{best.samples:.1f} with a free check {_percent(best.best_of)}."
    )


def _unit(predictions: Sequence[Prediction], best: Prediction) -> str:
    same = {
        each.unit: each
        for each in predictions
        if (each.detection, each.context) == (best.detection, best.context)
    }
    told = ", ".join(
        f"{unit} {_percent(same[unit].success)} at {same[unit].tokens:.0f} tokens" for unit in Unit
    )
    return f"Unit: {best.unit}. {told}."


def _context(predictions: Sequence[Prediction], best: Prediction) -> str:
    same = {
        each.context: each
        for each in predictions
        if (each.detection, each.unit) == (best.detection, best.unit)
    }
    told = ", ".join(
        f"{context} {_percent(same[context].success)}, {same[context].positions:.0f} positions attended to"
        for context in Context
    )
    return f"Context: {best.context}. {told}."


def _data(measured: Measured, best: Prediction, source: str) -> str:
    slips = sum(step.slip.value for step in measured.steps)
    dead = sum(step.dead.value for step in measured.steps)
    if not measured.told_apart:
        return (
            "Data: its own wrong steps (slips and dead ends are not told apart here), verified: "
            "`halluc data correct --depth error`."
        )
    share = f"Data: {_percent(dead / max(slips + dead, 1e-9))} of failing steps are dead ends, the rest slips"
    if slips > dead:
        return f"{share}: its own errors, verified: `halluc data correct --depth error`."
    name = source.removeprefix("halluc/").removesuffix("-new")
    task = f"halluc data {name}" if source.startswith("halluc/") else "`halluc data`"
    why = ""
    if best.context is Context.HARD and best.unit is Unit.TOKEN:
        why = (
            " (by step: backtracks by token pass through beginnings of lines, from which a trace without "
            "memory would go on as before)"
        )
    return f"{share}: traces through dead ends, {task} {' '.join(_options(best))}{why}."


def _options(best: Prediction) -> list[str]:
    if best.unit is Unit.RESTART:
        memory = "none" if best.context is Context.HARD else "tried"
        return ["--memory", memory, "--back", "restart", "--edit", "restart"]
    if best.context is Context.HARD:
        return ["--memory", "none", "--notice", "at-once", "--edit", "step"]
    return ["--memory", "tried", "--repeats", "0.1", "--edit", str(best.unit)]


def _detection(signals: Signals) -> str:
    best = signals.best
    if best is None:
        return f"Dead from live: not measured, {next(iter(signals.missing.values()))}."
    gap, auc = best.cut.difference, best.ranked.auc
    told = (
        f"{best.name} ranks them with AUC {auc.value:.2f} [{auc.low:.2f}, {auc.high:.2f}], "
        f"D = {gap.value:.2f} [{gap.low:.2f}, {gap.high:.2f}] on problems that nothing was fitted on"
    )
    if gap.value < TELLS:
        return (
            f"Dead from live: not told apart yet ({told}); rewards on the outcome alone bury the token or "
            "leave it: teach decisions first (`--decision-share`)."
        )
    return f"Dead from live: {told}."
