"""How a number is written: one way for each, so that equal numbers are equal texts.

Digits ``0`` to ``9`` without a leading zero. Whatever else looks like a number is one, but never the right
one: ``03``, digits of other scripts, decimals, grouped thousands, and more digits than any task of ours comes
to. Python would read most of these as numbers, and raise an error at the longest ones.
"""

import re

LONGEST = 1000
"""Digits of the longest number that is read; products of two such can still be written."""

_CANONICAL = re.compile(r"0|[1-9][0-9]*")
# Of any script, raised and lowered ones too: what touches a digit belongs to its number.
_DIGIT = r"[\d²³¹⁰⁴-⁹₀-₉]"
DIGITS = rf"{_DIGIT}+"
"""Pattern of a run of digits."""
NUMERAL = rf"{DIGITS}(?:,{_DIGIT}{{3}}(?!{_DIGIT}))*(?:\.{DIGITS})?"
"""Pattern of what looks like a number in running text, decimals and thousands included."""


def read_number(text: str) -> int | None:
    """The number that ``text`` writes in its one canonical way; None for any other text."""
    return int(text) if len(text) <= LONGEST and _CANONICAL.fullmatch(text) else None
