"""What is said of a setting that cannot be taken."""

import difflib
import math
from typing import Any

from halluc_plugin.errors import SettingsError


def wrong_kind(path: str, value: Any, wanted: str) -> SettingsError:
    """The refusal of a value that is not ``wanted``."""
    return SettingsError(f"{path} is {value!r}, not {wanted}.", f"Give {wanted}.")


def unknown(what: str, name: str, known: Any, path: str) -> SettingsError:
    """The refusal of a name that is none of the known ones; close matches are named."""
    close = difflib.get_close_matches(name, list(known), n=3)
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    return SettingsError(f"Unknown {what}.", f"{guess}{path} knows: {', '.join(sorted(known))}.")


def require_finite(path: str, value: float) -> None:
    """Refuse infinities and not-a-number.

    Raises:
        SettingsError: It is one.
    """
    if not math.isfinite(value):
        raise SettingsError(f"{path} is {value}.", "Give a finite number.")
