"""Check whether a model and its tokenizer are ready for edit tokens, for ``halluc doctor --model``."""

from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.edits import find_delimiters
from halluc_plugin.edits.delimiters import straddling
from halluc_plugin.errors import EditVocabError
from halluc_plugin.tokens.vocabulary import (
    BACKTRACK_TOKEN,
    EDIT_TOKENS,
    STEP_TOKEN,
    find,
    why_unusable,
)

SHOWN_DELIMITERS = 8


def inspect_tokenizer(tokenizer: Any, config: Any, *, step_delimiter: str = "\n") -> list[Check]:
    """Examine the edit tokens of a model.

    Args:
        tokenizer: The model's transformers tokenizer.
        config: The model's transformers config.
        step_delimiter: Text that ends a step.

    Returns:
        One line for each edit token, one for the rows of the embeddings, one for their tying, and one for the
        step delimiters if there is a step backtrack token.
    """
    ids = {token: found for token in EDIT_TOKENS if (found := find(tokenizer, token)) is not None}
    lines = [_token(tokenizer, token, ids.get(token)) for token in EDIT_TOKENS]
    text_config = config.get_text_config()
    if ids:
        lines.append(_rows(ids, _least_rows(text_config), len(tokenizer)))
    tied = (
        "shared by input and output" if text_config.tie_word_embeddings else "one each for input and output"
    )
    lines.append(Check("embeddings", CheckStatus.OK, tied))
    if STEP_TOKEN in ids:
        lines.append(_delimiters(tokenizer, step_delimiter, frozenset(ids.values())))
    return lines


def _token(tokenizer: Any, token: str, token_id: int | None) -> Check:
    if token_id is None:
        if token == BACKTRACK_TOKEN:
            fix = "Run `halluc add-token --model MODEL --out FOLDER`."
            return Check(token, CheckStatus.FAIL, "not in the tokenizer", fix)
        return Check(token, CheckStatus.ABSENT, "not in the tokenizer; optional")
    if fault := why_unusable(tokenizer, token, token_id):
        return Check(token, CheckStatus.FAIL, *fault)
    return Check(token, CheckStatus.OK, f"id {token_id}, not special")


def _least_rows(config: Any) -> int:
    """Rows of the smallest table with a row for each token."""
    rows = int(config.vocab_size)
    per_layer = getattr(config, "hidden_size_per_layer_input", None)  # Gemma 3n, Gemma 4
    return min(rows, int(config.vocab_size_per_layer_input)) if per_layer else rows


def _rows(ids: dict[str, int], rows: int, tokens: int) -> Check:
    name, largest = "embedding rows", max(ids.values())
    if largest >= rows:
        return Check(
            name,
            CheckStatus.FAIL,
            f"{rows} rows, but an edit token has id {largest}",
            "Resize the model and save both together: `halluc add-token` does.",
        )
    return Check(name, CheckStatus.OK, f"{rows} rows for {tokens} tokens")


def _delimiters(tokenizer: Any, delimiter: str, edit_ids: frozenset[int]) -> Check:
    name = "step delimiters"
    try:
        found = sorted(find_delimiters(tokenizer, delimiter, edit_ids=edit_ids))
    except EditVocabError as error:
        return Check(name, CheckStatus.FAIL, error.cause, error.fix)
    shown = ", ".join(repr(tokenizer.decode([token_id])) for token_id in found[:SHOWN_DELIMITERS])
    more = f" and {len(found) - SHOWN_DELIMITERS} more" if len(found) > SHOWN_DELIMITERS else ""
    inside = len(straddling(tokenizer, delimiter, edit_ids=edit_ids))
    more += f"; {inside} have text behind it and end no step" if inside else ""
    return Check(name, CheckStatus.OK, f"{len(found)} ids end with {delimiter!r}: {shown}{more}")
