"""The output of a finished ``halluc data`` command: the counts of its data card, and further commands."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

# In the card for whoever reads the data later, not news to whoever has just asked for it.
_ASKED = frozenset({"seed", "request", "settings", "task", "tokenizer", "error_shares"})


def tell(card: Path, *next_steps: str, as_json: bool, quiet: bool) -> None:
    """Print what was written, in three lines, and on standard error what comes next.

    Args:
        card: The path of the data card.
        *next_steps: Commands to paste, each with what it does.
        as_json: Whether the card itself is printed instead, and nothing else.
        quiet: Whether to print nothing, except for the card if ``as_json`` is set.
    """
    text = card.read_text(encoding="utf-8")
    if as_json:
        typer.echo(text, nl=False)
        return
    if quiet:
        return
    first, *others = [f"{name}: {said}" if said else name for name, said in _counts(json.loads(text))]
    typer.echo(f"{first}.")
    typer.echo(f"{'; '.join(others)}.")
    typer.echo(f"Written to {card.parent}; settings and all counts are in {card.name} there.")
    for line in next_steps:
        typer.echo(line, err=True)


def _counts(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a card counts, as names and texts."""
    for name, value in card.items():
        if name in _ASKED:
            continue
        if isinstance(value, int):
            yield _words(name), str(value)
        elif isinstance(value, dict):
            counts = {key: _count(count) for key, count in value.items() if key not in _ASKED}
            yield _words(name), ", ".join(f"{_words(k)} {n}" for k, n in counts.items() if n is not None)
            yield from _counts({key: inner for key, inner in value.items() if _count(inner) is None})


def _count(value: Any) -> int | None:
    """A count, or the count of a group of them."""
    found = value.get("count") if isinstance(value, dict) else value
    return found if isinstance(found, int) else None


def _words(name: str) -> str:
    return name.replace("_", " ") if not name.startswith("test_") else name
