"""The options of ``halluc search --method erase``, in which a signal erases without training."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from halluc_plugin.cli import choices

if TYPE_CHECKING:
    from halluc_plugin.jobs.search_erasing import Erasing

_option = partial(typer.Option, rich_help_panel="Erasing by a signal")

Calibration = Annotated[
    Path | None,
    _option(
        help="File of halluc probe signal --out for this model, with the threshold (erase).",
        show_default="none",
    ),
]
Signal = Annotated[
    choices.Signals | None,
    _option(
        help="The signal that erases (erase): entropy, margin, phase-shift, linear-head, two-layer-head or "
        "mind; vLLM reads the first two.",
        metavar="SIGNAL",
        show_default="entropy",
    ),
]
Erase = Annotated[
    choices.Erasings | None,
    _option(
        help="What is erased: a finished step, or tokens behind each token; or a setting like E3RL (steps of "
        "high entropy) or LPSR (tokens at a phase shift).",
        show_default="step",
    ),
]
Rollbacks = Annotated[int | None, _option(help="Most erasures in a sample (erase).", show_default="4")]


@dataclass(frozen=True)
class ErasingOptions:
    """The options of a search that erases; None stands for the default."""

    calibration: Calibration = None
    signal: Signal = None
    erase: Erase = None
    erased_tokens_at_once: Annotated[
        int | None,
        _option(
            "--erased-tokens",
            help="Tokens that are erased at a time (--erase tokens or lpsr).",
            show_default="8",
        ),
    ] = None
    rollbacks: Rollbacks = None

    def erasing(self) -> "Erasing | None":
        """Return the settings, None if no option was given.

        Raises:
            SettingsError: Options are given without a calibration.
        """
        from halluc_plugin.errors import SettingsError
        from halluc_plugin.jobs.search_erasing import ROLLBACKS, Erasing
        from halluc_plugin.jobs.search_erasing import Erase as Settings
        from halluc_plugin.jobs.signals.asked import Signal as Signals
        from halluc_plugin.settings import choose

        given = {
            "--signal": self.signal,
            "--erase": self.erase,
            "--erased-tokens": self.erased_tokens_at_once,
            "--rollbacks": self.rollbacks,
        }
        named = [name for name, value in given.items() if value is not None]
        if self.calibration is None:
            if named:
                raise SettingsError(
                    f"{named[0]} means nothing without --calibration.", "Give both, with --method erase."
                )
            return None
        return Erasing(
            self.calibration,
            None if self.signal is None else choose(Signals, self.signal, "--signal"),
            Settings.STEP if self.erase is None else choose(Settings, self.erase, "--erase"),
            self.erased_tokens_at_once,
            ROLLBACKS if self.rollbacks is None else self.rollbacks,
        )
