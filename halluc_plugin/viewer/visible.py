"""Text of a model as it may be shown: what would act on a terminal, or not be seen, is named instead."""

import unicodedata

NAMED = {"\x1b": "␛", "\t": "⇥", "\r": "␍", "\0": "␀", "\n": "↵ "}
"""Signs for characters that are common enough to have one."""

UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(c) for c in range(0xFE00, 0xFE10)
}
"""Characters that take no room and are none of the categories below."""

ACTING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Categories of characters that steer: controls, formats (bidi, zero width, tags), surrogates, separators."""


def visible(text: str) -> str:
    """The text with every character that is not seen as ``<U+XXXX>``, line ends as ``↵``.

    Args:
        text: Any text, lone surrogates among it.
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
