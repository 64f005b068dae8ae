"""Add edit tokens to a model and its tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.tokens.initialisation import Initialisation, initial_rows, mean_of_means
from halluc_plugin.tokens.tables import token_tables
from halluc_plugin.tokens.vocabulary import BACKTRACK_TOKEN, EDIT_TOKENS, extent, find, why_unusable


@dataclass(frozen=True)
class AddedTokens:
    """The result of :func:`add_edit_tokens`.

    Attributes:
        ids: Id of each edit token that was asked for, by its text.
        new: Texts of the tokens that were added; the rows of the others are unchanged.
        rows_before: Number of rows of the input embedding before.
        rows_after: Number of rows of the input embedding after; equal if there was room.
        padding: Number of these that stand for no token. Nothing here samples, counts or trains them.
    """

    ids: dict[str, int]
    new: tuple[str, ...]
    rows_before: int
    rows_after: int
    padding: int


MOST_KEPT = 64
"""The greatest power of two that a number of rows is kept divisible by unless another multiple is asked for;
kernels of accelerators, and a division of the rows among them, want no more."""


def add_edit_tokens(
    model: Any,
    tokenizer: Any,
    tokens: Sequence[str] = (BACKTRACK_TOKEN,),
    *,
    how: Initialisation = Initialisation.MEAN,
    description: str = "",
    seed: int = 0,
    pad_to: int | None = None,
) -> AddedTokens:
    """Add edit tokens as ordinary tokens, in place.

    The embeddings grow only when they have no row for a new id; many models have rows to spare. They grow to
    a multiple, and the rows that no token has are the mean of all: of a real model (SmolLM2-135M) 63 of them
    took 1e-5 of the probability at most, where rows of zeros took 2e-2. Tied weights stay tied. Other
    parameters with a row for each token, such as the bias of the output, get the same rows.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        tokens: The tokens of :data:`~halluc_plugin.tokens.EDIT_TOKENS` to add; a token that exists is left
            unchanged.
        how: First values of the new rows.
        description: Text that ``DESCRIPTION`` reads; by default a sentence of each token's own.
        seed: Seed of rows that are drawn at random.
        pad_to: What the number of rows is to be a multiple of, also if there is room; None for the largest
            power of two, up to :data:`MOST_KEPT`, that divides the number of rows of a model that grows.

    Returns:
        The ids, and what changed.

    Raises:
        SettingsError: A token is not one of :data:`~halluc_plugin.tokens.EDIT_TOKENS`, or ``pad_to`` is below
            1.
        TokenizerError: A token exists in a form that gets lost (see
            :func:`~halluc_plugin.tokens.edit_vocab`), or a table of the model has no room for it.
    """
    for token in tokens:
        if token not in EDIT_TOKENS:
            raise SettingsError(f"{token} is no edit token.", f"Pass some of: {', '.join(EDIT_TOKENS)}.")
    if pad_to is not None and pad_to < 1:
        raise SettingsError(f"The rows are to be a multiple of {pad_to}.", "Give at least 1 (no padding).")
    missing = [token for token in dict.fromkeys(tokens) if find(tokenizer, token) is None]
    known = len(tokenizer)
    rows = {
        token: initial_rows(model, tokenizer, token, how, description=description, seed=seed)
        for token in missing
    }
    _extend(tokenizer, missing)
    before = model.get_input_embeddings().weight.shape[0]
    size = extent(tokenizer)[0]
    if missing or pad_to:
        _make_room(model, size, known, pad_to)
    ids = {token: _usable_id(tokenizer, token) for token in tokens}
    with torch.no_grad():
        for token, new in rows.items():
            for name, row in new.items():
                model.get_parameter(name)[ids[token]] = row
    after = model.get_input_embeddings().weight.shape[0]
    return AddedTokens(ids, tuple(missing), before, after, max(0, after - size))


def _make_room(model: Any, needed: int, known: int, pad_to: int | None) -> None:
    """Let every table have so many rows, and more up to a multiple; new ones are the mean of those known."""
    tables = token_tables(model)
    rows = len(tables[0].rows)
    if pad_to is None and all(len(table.rows) >= needed for table in tables):
        return
    # The largest size, because embeddings of single layers may have fewer rows than the input embedding.
    multiple = pad_to or min(rows & -rows, MOST_KEPT)
    wanted = -(-max(needed, rows) // multiple) * multiple
    if all(len(table.rows) >= wanted for table in tables):
        return
    before = {table.name: len(table.rows) for table in tables}
    means = {
        table.name: mean_of_means(table.rows.detach(), [range(min(known, len(table.rows)))])
        for table in tables
    }
    model.resize_token_embeddings(wanted, mean_resizing=False)
    with torch.no_grad():
        for name, mean in means.items():
            model.get_parameter(name)[before[name] :] = mean
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
