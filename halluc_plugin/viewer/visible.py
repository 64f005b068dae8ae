"""Make a model's text safe to show: characters that act on a terminal or are invisible are named."""

import unicodedata

NAMED = {"\x1b": "␛", "\t": "⇥", "\r": "␍", "\0": "␀", "\n": "↵ "}
"""Symbols for characters that are common enough to have one."""

UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(c) for c in range(0xFE00, 0xFE10)
}
"""Characters without width that belong to none of the categories below."""

ACTING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories of control characters: controls, formats (bidi, zero width, tags), surrogates, separators."""


def visible(text: str) -> str:
    """Return the text with invisible characters as ``<U+XXXX>``, and line ends as ``↵``.

    Args:
        text: Any text, which may contain lone surrogates.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in NAMED:
        return NAMED[character]
    if character in UNSEEN or unicodedata.category(character) in ACTING:
        return f"<U+{ord(character):04X}>"
    return character
