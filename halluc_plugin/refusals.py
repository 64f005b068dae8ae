"""Build the errors that refuse a setting."""

import difflib
import math
from typing import Any

from halluc_plugin.errors import SettingsError


def wrong_kind(path: str, value: Any, wanted: str) -> SettingsError:
    """Return the error that refuses a value of the wrong kind.

    Args:
        path: The dotted name of the setting.
        value: The value that was given.
        wanted: The kind of value that is accepted, in words.
    """
    return SettingsError(f"{path} is {value!r}, not {wanted}.", f"Give {wanted}.")


def unknown(what: str, name: str, known: Any, path: str) -> SettingsError:
    """Return the error that refuses an unknown name; close matches are suggested.

    Args:
        what: The kind of thing that is named, such as ``setting``.
        name: The name that was given.
        known: The names that exist.
        path: The dotted name of the setting.
    """
    close = difflib.get_close_matches(name, list(known), n=3)
    guess = f"Did you mean {' or '.join(close)}? " if close else ""
    return SettingsError(f"Unknown {what}.", f"{guess}{path} knows: {', '.join(sorted(known))}.")


def require_finite(path: str, value: float) -> None:
    """Refuse a number that is infinite or not a number.

    Raises:
        SettingsError: The value is nan or infinite.
    """
    if not math.isfinite(value):
        raise SettingsError(f"{path} is {value}.", "Give a finite number.")
