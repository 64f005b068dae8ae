"""The rows of the tables of host settings, and the check of a run against them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Settings

Meets = Callable[[Any], bool]


class Where(Enum):
    """The runs in which a setting is refused; the value is their name in the documentation."""

    NOWHERE = "nowhere"
    HARD = "hard context"
    LIMITED = "hard context; limits on edits"
    STEERED = "hard context; limits on edits; sampled continuations"
    ERASING = "agent loop `backtrack`, unless every budget is 0"
    EDITING = "agent loop `backtrack`"
    EVERYWHERE = "every recipe"


@dataclass(frozen=True)
class Values:
    """A set of values of one key of the host's config.

    Args:
        key: The dotted key.
        text: The set of values, as documentation writes it.
        meets: Function that returns whether a value is in the set; a missing key has the value None.
        example: One of the values, as on the command line.
    """

    key: str
    text: str
    meets: Meets
    example: str

    def hold(self, config: DictConfig) -> bool:
        """Return whether the run's value is in the set."""
        return self.meets(OmegaConf.select(config, self.key))

    def given(self, config: DictConfig) -> str:
        """Return the run's own setting, as on the command line."""
        return f"{self.key}={OmegaConf.select(config, self.key)}"


def on(key: str) -> Values:
    """Return the set of values that verl takes for true."""
    return Values(key, "true", bool, "true")


def off(key: str) -> Values:
    """Return the set of values that are false, empty or missing."""
    return Values(key, "false or empty", lambda value: not value, "null")


def given(key: str, example: str) -> Values:
    """Return the set of all values that are not empty."""
    return Values(key, "any", lambda value: value is not None and value != "", example)


def above(key: str, number: int) -> Values:
    """Return the set of numbers above ``number``."""
    return Values(
        key, f"above {number}", lambda value: value is not None and float(value) > number, str(number + 1)
    )


def one_of(key: str, *names: str) -> Values:
    """Return the set of some names."""
    return Values(key, ", ".join(f"`{name}`" for name in names), lambda value: value in names, names[0])


def other_than(key: str, *names: str, example: str) -> Values:
    """Return the set of all names except for some; a missing key is not in it."""
    text = f"other than {', '.join(f'`{name}`' for name in names)}"
    return Values(key, text, lambda value: value is not None and value not in names, example)


@dataclass(frozen=True)
class Row:
    """A setting of the host, with the runs in which it is refused.

    Args:
        when: The sets of values, all of which must hold.
        refused: The runs in which the setting is refused.
        why: The reason, or the effect of a supported setting, which continues "KEY=VALUE".
        fix: What to do instead; empty for a supported setting.
    """

    when: tuple[Values, ...]
    refused: Where
    why: str
    fix: str = ""

    def __post_init__(self) -> None:
        if bool(self.fix) is (self.refused is Where.NOWHERE):
            raise ValueError(f"{self.when[0].key}: a refusal, and nothing else, says what to do instead.")


def supported(why: str, *when: Values) -> Row:
    """Return a row for a supported setting, which refuses nothing."""
    return Row(when, Where.NOWHERE, why)


Table = Mapping[str, tuple[Row, ...]]
"""Rows by the part of the host to which they belong."""


def hit(config: DictConfig, runs: Collection[Where], rows: Iterable[Row]) -> Row | None:
    """Return the first row that refuses the run, None if there is none.

    Args:
        config: The host's whole config.
        runs: The kinds of run that it is.
        rows: The rows of a table.
    """
    for row in rows:
        if row.refused in runs and all(values.hold(config) for values in row.when):
            return row
    return None


def refuse(config: DictConfig, settings: Settings, runs: Collection[Where], table: Table) -> None:
    """Refuse a run whose host settings cannot be combined with its own.

    Args:
        config: The host's whole config.
        settings: The settings of the run.
        runs: The kinds of run that it is.
        table: The table of refused settings.

    Raises:
        SettingsError: A host setting is refused; the message names both settings, what would go wrong, and
            the fix.
    """
    row = hit(config, runs, (row for rows in table.values() for row in rows))
    if row is not None:
        asked = asked_for(settings) if row.refused in _OWN else ""
        with_ours = f"{asked}, but " if asked else ""
        said = " and ".join(values.given(config) for values in row.when)
        raise SettingsError(f"{with_ours}{said} {row.why}.", row.fix)


_OWN = {Where.HARD, Where.LIMITED, Where.STEERED}


def asked_for(settings: Settings) -> str:
    """Return the settings that make a run differ from verl's own, with what they do."""
    if settings.context is Context.HARD:
        return "halluc.context=hard rewinds the context after an edit"
    if settings.bans_edits:
        return (
            "halluc.max_backtracks, halluc.curriculum or halluc.boundary=mask bans edit tokens during "
            "sampling"
        )
    if settings.samples_continuations:
        return f"halluc.values.source={settings.values.source} bans edit tokens during sampling"
    return ""


def runs_of(settings: Settings, *, editing: bool) -> frozenset[Where]:
    """Return the kinds of run that a run is.

    Args:
        settings: The settings of the run.
        editing: Whether its answers may hold edits.
    """
    kinds = {
        Where.HARD: settings.context is Context.HARD,
        Where.LIMITED: settings.needs_own_engine,
        Where.STEERED: settings.steers_rollouts,
        Where.ERASING: editing and any(stage.max_backtracks != 0 for stage in settings.stages),
        Where.EDITING: editing,
        Where.EVERYWHERE: True,
    }
    return frozenset(kind for kind, holds in kinds.items() if holds)
