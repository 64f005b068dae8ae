"""Adding edit tokens to a model and its tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.tokens.initialisation import Initialisation, initial_rows
from halluc_plugin.tokens.vocabulary import BACKTRACK_TOKEN, EDIT_TOKENS, find, why_unusable


@dataclass(frozen=True)
class AddedTokens:
    """What :func:`add_edit_tokens` did.

    Attributes:
        ids: Id of each edit token asked for, by its text.
        new: Those that were not there before; the rows of the others are as they were.
        rows_before: Rows of the input embedding before.
        rows_after: Rows of the input embedding after; equal when there was room.
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
    stay tied.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        tokens: Which of :data:`~halluc_plugin.tokens.EDIT_TOKENS` to add; one that is there is left alone.
        how: First values of the new rows.
        description: What ``DESCRIPTION`` reads; by default a sentence of each token's own.

    Returns:
        The ids and what changed.

    Raises:
        SettingsError: A token is none of ours.
        TokenizerError: A token is there already in a form that gets lost (see
            :func:`~halluc_plugin.tokens.edit_vocab`).
    """
    for token in tokens:
        if token not in EDIT_TOKENS:
            raise SettingsError(f"{token} is no edit token.", f"Pass some of: {', '.join(EDIT_TOKENS)}.")
    missing = [token for token in dict.fromkeys(tokens) if find(tokenizer, token) is None]
    rows = {token: initial_rows(model, tokenizer, token, how, description=description) for token in missing}
    _extend(tokenizer, missing)
    before = model.get_input_embeddings().weight.shape[0]
    needed = max(tokenizer.get_vocab().values()) + 1
    if missing and needed > before:
        model.resize_token_embeddings(needed, mean_resizing=False)
    ids = {token: _usable_id(tokenizer, token) for token in tokens}
    with torch.no_grad():
        for token, (input_row, output_row) in rows.items():
            model.get_input_embeddings().weight[ids[token]] = input_row
            if output_row is not None:
                model.get_output_embeddings().weight[ids[token]] = output_row
    return AddedTokens(ids, tuple(missing), before, model.get_input_embeddings().weight.shape[0])


def _extend(tokenizer: Any, tokens: Sequence[str]) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])


def _usable_id(tokenizer: Any, token: str) -> int:
    token_id = find(tokenizer, token)
    assert token_id is not None  # just added, or there before
    if fault := why_unusable(tokenizer, token, token_id):
        raise TokenizerError(*fault)
    return token_id
