"""A curriculum: settings that change with the global step, and with nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.errors import SettingsError


@dataclass(frozen=True)
class Stage:
    """One stage of a curriculum.

    Args:
        steps: Number of global steps; null, for the last stage alone, for all that follow.
        max_backtracks: Budget of effective edits per answer, null for no limit.
        weights: Weight of each reward component by name; null for those of ``halluc.reward``.
    """

    steps: int | None = None
    max_backtracks: int | None = None
    weights: dict[str, float] | None = None


def check_stages(stages: Sequence[Stage]) -> None:
    """Refuse stages that do not cover all steps exactly once.

    Raises:
        SettingsError: A stage other than the last has no end, the last has one, or a number is out of range.
    """
    for number, stage in enumerate(stages):
        path, last = f"halluc.curriculum[{number}]", number == len(stages) - 1
        if last and stage.steps is not None:
            raise SettingsError(
                f"{path}.steps is {stage.steps}, but nothing follows it.",
                "Leave steps of the last stage out.",
            )
        if not last and (stage.steps is None or stage.steps < 1):
            raise SettingsError(f"{path}.steps is {stage.steps}.", "Give an integer of at least 1.")
        if stage.max_backtracks is not None and stage.max_backtracks < 0:
            raise SettingsError(
                f"{path}.max_backtracks is {stage.max_backtracks}.",
                "Give an integer of at least 0, or null for no limit.",
            )


def stage_number(stages: Sequence[Stage], step: int) -> int:
    """Return the number of the stage, from 0, that a global step belongs to.

    Steps count from 1; earlier steps belong to the first stage.
    """
    for number, stage in enumerate(stages[:-1]):
        assert stage.steps is not None  # check_stages
        if step <= stage.steps:
            return number
        step -= stage.steps
    return len(stages) - 1
