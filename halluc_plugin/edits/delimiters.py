"""Find the ids of a real tokenizer that end a step: every token whose text ends with the delimiter."""

from collections.abc import Iterator
from typing import Any

from halluc_plugin.edits.texts import token_text
from halluc_plugin.errors import EditVocabError


def find_delimiters(
    tokenizer: Any, delimiter: str, *, edit_ids: frozenset[int] = frozenset()
) -> frozenset[int]:
    r"""Return the ids whose text ends with ``delimiter``.

    For "\\n" these are also ".\\n", "\\n\\n" and whatever other tokens the tokenizer has merged.

    Args:
        tokenizer: A transformers tokenizer.
        delimiter: Text that ends a step.
        edit_ids: Ids to leave out, whatever their text.

    Returns:
        The ids, never empty.

    Raises:
        EditVocabError: The delimiter is empty, or no single token ends with it.
    """
    if not delimiter:
        raise EditVocabError("The step delimiter is empty.", 'Give a text, e.g. "\\n".')
    found = frozenset(token_id for token_id, text in _texts(tokenizer, edit_ids) if text.endswith(delimiter))
    if not found:
        raise EditVocabError(
            f"No token of the tokenizer ends with the step delimiter {delimiter!r}.",
            "Choose a delimiter that the tokenizer can write in one token.",
        )
    return found


def straddling(tokenizer: Any, delimiter: str, *, edit_ids: frozenset[int] = frozenset()) -> frozenset[int]:
    """Return the ids whose text holds a delimiter and goes on behind it.

    They end no step: a step backtrack deletes whole tokens, and the text behind the delimiter is the next
    step's.

    Args:
        tokenizer: A transformers tokenizer.
        delimiter: Text that ends a step.
        edit_ids: Ids to leave out, whatever their text.
    """
    return frozenset(
        token_id
        for token_id, text in _texts(tokenizer, edit_ids)
        if delimiter in text and not text.endswith(delimiter)
    )


def _texts(tokenizer: Any, edit_ids: frozenset[int]) -> Iterator[tuple[int, str]]:
    """Ids and texts of all tokens but special ones and edits."""
    ids = set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids) - edit_ids
    return ((token_id, token_text(tokenizer, token_id)) for token_id in ids)
