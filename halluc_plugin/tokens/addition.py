"""Add edit tokens to a model and its tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.tokens.initialisation import Initialisation, initial_rows
from halluc_plugin.tokens.tables import token_tables
from halluc_plugin.tokens.vocabulary import BACKTRACK_TOKEN, EDIT_TOKENS, find, why_unusable


@dataclass(frozen=True)
class AddedTokens:
    """The result of :func:`add_edit_tokens`.

    Attributes:
        ids: Id of each edit token that was asked for, by its text.
        new: Texts of the tokens that were added; the rows of the others are unchanged.
        rows_before: Number of rows of the input embedding before.
        rows_after: Number of rows of the input embedding after; equal if there was room.
    """

    ids: dict[str, int]
    new: tuple[str, ...]
    rows_before: int
    rows_after: int


def add_edit_tokens(
    model: Any,
    tokenizer: Any,
    tokens: Sequence[str] = (BACKTRACK_TOKEN,),
    *,
    how: Initialisation = Initialisation.MEAN,
    description: str = "",
) -> AddedTokens:
    """Add edit tokens as ordinary tokens, in place.

    The embeddings grow only when they have no row for a new id; many models have rows to spare. Tied weights
    stay tied. Other parameters with a row for each token, such as the bias of the output, get one too.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        tokens: The tokens of :data:`~halluc_plugin.tokens.EDIT_TOKENS` to add; a token that exists is left
            unchanged.
        how: First values of the new rows.
        description: Text that ``DESCRIPTION`` reads; by default a sentence of each token's own.

    Returns:
        The ids, and what changed.

    Raises:
        SettingsError: A token is not one of :data:`~halluc_plugin.tokens.EDIT_TOKENS`.
        TokenizerError: A token exists in a form that gets lost (see
            :func:`~halluc_plugin.tokens.edit_vocab`), or a table of the model has no room for it.
    """
    for token in tokens:
        if token not in EDIT_TOKENS:
            raise SettingsError(f"{token} is no edit token.", f"Pass some of: {', '.join(EDIT_TOKENS)}.")
    missing = [token for token in dict.fromkeys(tokens) if find(tokenizer, token) is None]
    rows = {token: initial_rows(model, tokenizer, token, how, description=description) for token in missing}
    _extend(tokenizer, missing)
    before = model.get_input_embeddings().weight.shape[0]
    if missing:
        _make_room(model, max(tokenizer.get_vocab().values()) + 1)
    ids = {token: _usable_id(tokenizer, token) for token in tokens}
    with torch.no_grad():
        for token, new in rows.items():
            for name, row in new.items():
                model.get_parameter(name)[ids[token]] = row
    return AddedTokens(ids, tuple(missing), before, model.get_input_embeddings().weight.shape[0])


def _make_room(model: Any, needed: int) -> None:
    """Let every table have so many rows."""
    tables = token_tables(model)
    if all(len(table.rows) >= needed for table in tables):
        return
    # The largest size, because embeddings of single layers may have fewer rows than the input embedding.
    model.resize_token_embeddings(max(needed, len(tables[0].rows)), mean_resizing=False)
    short = [table.name for table in tables if len(model.get_parameter(table.name)) < needed]
    if short:
        raise TokenizerError(
            f"The model has no room for the token, and transformers does not resize {', '.join(short)}.",
            "Use a model with spare rows, or one whose resize_token_embeddings resizes all of them.",
        )


def _extend(tokenizer: Any, tokens: Sequence[str]) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])


def _usable_id(tokenizer: Any, token: str) -> int:
    token_id = find(tokenizer, token)
    assert token_id is not None  # just added, or there before
    if fault := why_unusable(tokenizer, token, token_id):
        raise TokenizerError(*fault)
    return token_id
