"""The report of ``halluc search`` on its answers, as a table and as a file."""

import json
from typing import TYPE_CHECKING, Any

from halluc_plugin.cli.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from halluc_plugin.jobs.search import SearchJob
    from halluc_plugin.search.answers import Answered

ALWAYS = frozenset({"answers found", "tokens sampled", "forward FLOPs"})
"""The costs that every search has; the others are those of models that only some searches have."""


def title(job: "SearchJob") -> str:
    """Return a short title that describes the search."""
    if job.selection is not None:
        return f"{job.method}, {job.selection}"
    arm = "" if job.guidance.arm is None else f" from {job.guidance.arm}"
    return f"{job.method}{arm}, {job.guidance.scorer}"


def report(answers: "Sequence[Answered]", title: str) -> None:
    """Print shares with their intervals, and mean costs of an answer."""
    from rich.console import Console

    from halluc_plugin.metrics import Proportion, counted_discrimination

    def share(values: list[bool]) -> str:
        return percent(Proportion.of(sum(values), len(values)))

    def percent(proportion: Proportion) -> str:
        low, high = 100 * proportion.low, 100 * proportion.high
        return f"{100 * proportion.value:.1f} % [{low:.1f}, {high:.1f}]"

    shown = Table("", f"{title}, {len(answers)} problems")
    shown.add_row("answers right", share([answer.correct for answer in answers]))
    shown.add_row("a right one among those found", share([answer.reachable for answer in answers]))
    for label, total, form in (
        ("answers found", sum(answer.found for answer in answers), ".1f"),
        ("tokens sampled", sum(answer.tokens for answer in answers), ".1f"),
        ("erasures by the signal", sum(sum(answer.erasures) for answer in answers), ".1f"),
        ("tokens of the corrector", sum(answer.corrector_tokens for answer in answers), ".1f"),
        ("tokens of the draft", sum(answer.draft_tokens for answer in answers), ".1f"),
        ("tokens sampled for values", sum(answer.rollout_tokens for answer in answers), ".1f"),
        ("positions scored", sum(answer.scorer_tokens for answer in answers), ".1f"),
        ("forward FLOPs", sum(answer.flops for answer in answers), ".3g"),
        ("of them the scorer's", sum(answer.scorer_flops for answer in answers), ".3g"),
    ):
        if total or label in ALWAYS:
            shown.add_row(label, f"{total / len(answers):{form}} a problem")
    found = counted_discrimination([answer.step_ends for answer in answers])
    for label, kind in (("where a step ends in a dead end", found.dead), ("where it does not", found.live)):
        if kind.n:
            shown.add_row(f"edits {label}", f"{percent(kind)} of {kind.n}")
    if found.dead.n and found.live.n:
        gap = found.difference
        shown.add_row("D, their difference", f"{gap.value:.2f} [{gap.low:.2f}, {gap.high:.2f}]")
    Console().print(shown)


def erasure_warning(job: "SearchJob", answers: "Sequence[Answered]") -> str | None:
    """Return a warning if a signal never erased, or always as often as it may; None if neither."""
    erasures = [number for answer in answers for number in answer.erasures]
    if job.erasing is None or not erasures:
        return None
    some = sum(number > 0 for number in erasures)
    most = sum(number == job.erasing.rollbacks for number in erasures)
    if some and most < len(erasures):
        return None
    told = (
        f"never passed: 0 % of {len(erasures)} samples"
        if not some
        else (f"always passed: 100 % of {len(erasures)} samples were erased {job.erasing.rollbacks} times")
    )
    return f"The threshold of {job.erasing.calibration} is {told}."


def lines(job: "SearchJob", answers: "Sequence[Answered]") -> "Iterator[str]":
    """Yield one line of JSON for each answer, with the settings of the search."""
    from dataclasses import asdict

    settings: dict[str, Any] = asdict(job) | {"data": str(job.data), "rule": job.selection}
    if job.erasing is None:
        del settings["erasing"]
    else:
        settings["erasing"] |= {"calibration": str(job.erasing.calibration)}
    if job.selection is not None:
        del settings["guidance"]
    for row, answer in enumerate(answers):
        told = {"row": row} | asdict(answer) | {"search": settings}
        yield json.dumps(told, ensure_ascii=False) + "\n"
