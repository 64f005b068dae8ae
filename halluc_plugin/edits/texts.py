"""Find the text that each single token adds to the text before it.

A token that is decoded alone may give another text: sentencepiece decoders strip a leading blank, and a
character of several bytes may be spread over tokens.
"""

from collections.abc import Sequence
from typing import Any

BROKEN = "\ufffd"
"""The character that decoders write for bytes that do not form one."""
LONGEST_WAIT = 16
"""Number of tokens that may wait for the end of a character: one has four bytes, so a longer run forms
none."""


def token_texts(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """Return the text that each token adds; joined, they are the text of all ids.

    Args:
        tokenizer: A transformers tokenizer.
        ids: The token ids of the text, Int[T].

    Returns:
        One text for each id. A character that is spread over several tokens belongs to the one that completes
        it; the others have an empty text.
    """
    texts: list[str] = []
    begin = done = 0  # ids[begin:done] are the context in which the next are decoded
    before = ""
    for end in range(1, len(ids) + 1):
        text = tokenizer.decode(list(ids[begin:end]))
        if text.endswith(BROKEN) and end < len(ids) and end - done < LONGEST_WAIT:
            texts.append("")
            continue
        added = text[len(before) :]
        whole = added.lstrip(BROKEN)
        if whole and end - done > 1:  # what waited forms no character, whatever followed
            texts[-1] += added[: len(added) - len(whole)]
            added = whole
        texts.append(added)
        begin, done = done, end
        before = tokenizer.decode(list(ids[begin:done]))
    return texts


def token_text(tokenizer: Any, token_id: int) -> str:
    """Return the text that a token adds to a text that is not empty."""
    return str(tokenizer.decode([token_id, token_id])[len(tokenizer.decode([token_id])) :])
