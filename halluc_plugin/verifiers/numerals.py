"""Read numbers in their one canonical form, so that equal numbers are equal texts.

The form is digits ``0`` to ``9`` without a leading zero. Other notations of numbers are never accepted:
``03``, digits of other scripts, decimals, grouped thousands, and more digits than any task here needs. Python
would read most of these as numbers, and raise an error at the longest ones.
"""

import re

LONGEST = 1000
"""Number of digits of the longest number that is read; products of two such can still be written."""

_CANONICAL = re.compile(r"0|[1-9][0-9]*")
# Of any script, raised and lowered ones too: what touches a digit belongs to its number.
_DIGIT = r"[\d²³¹⁰⁴-⁹₀-₉]"
DIGITS = rf"{_DIGIT}+"
"""Pattern of a run of digits."""
NUMERAL = rf"{DIGITS}(?:,{_DIGIT}{{3}}(?!{_DIGIT}))*(?:\.{DIGITS})?"
"""Pattern of what looks like a number in running text, decimals and thousands included."""


def read_number(text: str) -> int | None:
    """Return the number that ``text`` writes in its canonical form, None for any other text."""
    return int(text) if len(text) <= LONGEST and _CANONICAL.fullmatch(text) else None
