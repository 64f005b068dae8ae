"""Tell by which settings a run is known, so that checkpoints of before can be gone on from."""

from dataclasses import asdict
from typing import Any

from halluc_plugin.settings import Settings

PREPARED_LATER = ("task", "options", "context", "erased_tokens", "shares", "warm_start_batch_size")
CREDIT_LATER = ("units", "form", "replaces", "share", "first")
LATER = (
    ("", "shares"),
    ("", "report"),
    ("", "resets"),
    ("reward", "parameters"),
    ("values", "scorer"),
    *(("credit", name) for name in CREDIT_LATER),
    *(("prepare", name) for name in PREPARED_LATER),
)
"""Group and name of settings that were added after the first checkpoints, so that those can be resumed."""


def known_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as checkpoints have them: those of :data:`LATER` only where they are not as ever.

    Args:
        settings: The settings of a run.
    """
    told, ever = asdict(settings), asdict(Settings())
    for group, name in LATER:
        here, usual = (told[group], ever[group]) if group else (told, ever)
        if here[name] == usual[name]:
            del here[name]
    return told
