"""Compute the first rows of a new edit token in each table that has a row for each token (:mod:`.tables`).

``MEAN`` is the centroid; ``SEMANTIC`` and ``DESCRIPTION`` follow the anchors and the context initialisation
of N-MARS; ``SUBTOKENS`` averages the pieces that the old tokenizer makes of the token's text; ``RANDOM`` is
what a row is that nobody chose.
"""

import zlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import torch

from halluc_plugin.errors import TokenizerError
from halluc_plugin.tokens.tables import token_tables
from halluc_plugin.tokens.vocabulary import TOKENS


class Initialisation(StrEnum):
    """The initialisation of the rows of a new token."""

    MEAN = "mean"
    """Mean of all rows."""
    SEMANTIC = "semantic"
    """Mean of the rows of words with the token's meaning (:data:`ANCHORS`)."""
    DESCRIPTION = "description"
    """The model's own last hidden state after reading a description of the token (:data:`DESCRIPTIONS`), at
    the mean row's norm."""
    SUBTOKENS = "subtokens"
    """Mean of the rows of the pieces that the token's text is split into without it."""
    RANDOM = "random"
    """Normal entries of mean 0, with the deviation of the entries of all rows; a bias is the mean of all."""


ANCHORS = {token.text: token.words for token in TOKENS}
"""Words with the meaning of each token."""

DESCRIPTIONS = {token.text: token.description for token in TOKENS}
"""What each token does, in words."""


@torch.no_grad()
def initial_rows(
    model: Any, tokenizer: Any, token: str, how: Initialisation, *, description: str = "", seed: int = 0
) -> dict[str, torch.Tensor]:
    """Compute the rows of a token that the tokenizer does not have yet.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer, without ``token``.
        token: Text of the new token.
        how: The initialisation. All tables mix the same tokens with the same weights. A table whose rows are
            not vectors of the hidden size (a bias, embeddings of single layers) takes its mean row for
            ``DESCRIPTION``.
        description: Text that ``DESCRIPTION`` reads instead of :data:`DESCRIPTIONS`.
        seed: Seed of ``RANDOM``; rows of several tokens and tables differ. The global random state is
            not changed.

    Returns:
        The new row of each of :func:`~halluc_plugin.tokens.tables.token_tables`, by the table's name:
        Float[H], Float[] for a bias.

    Raises:
        TokenizerError: The tokenizer has no ids for the words that are needed, or the model has no rows for
            them.
    """
    hidden = None
    if how is Initialisation.DESCRIPTION:
        hidden = _hidden_state(model, tokenizer, description or DESCRIPTIONS[token])
    generator = torch.Generator().manual_seed(seed + zlib.crc32(token.encode()))
    rows = {}
    for table in token_tables(model):
        # Rows beyond the tokenizer are padding that nothing trained.
        known = min(len(tokenizer), len(table.rows))
        if how is Initialisation.RANDOM and table.rows.dim() > 1:
            rows[table.name] = _random(table.rows[:known], generator)
        elif hidden is not None and table.rows.shape[1:] == hidden.shape:
            rows[table.name] = _scaled(hidden, table.rows[:known])
        else:
            mixed = how not in {Initialisation.DESCRIPTION, Initialisation.RANDOM}
            groups = anchor_groups(tokenizer, token, how if mixed else Initialisation.MEAN, known)
            rows[table.name] = mean_of_means(table.rows, groups)
    return rows


def anchor_groups(tokenizer: Any, token: str, how: Initialisation, known: int) -> list[Sequence[int]]:
    """Return the ids whose rows are averaged into a new token's, group by group.

    Args:
        tokenizer: The model's tokenizer.
        token: Text of the new token.
        how: Any initialisation but ``DESCRIPTION`` and ``RANDOM``.
        known: Number of rows that were trained.
    """
    if how is Initialisation.MEAN:
        return [range(known)]
    texts = [f" {word}" for word in ANCHORS[token]] if how is Initialisation.SEMANTIC else [token]
    found = [[piece for piece in _pieces(tokenizer, text) if piece < known] for text in texts]
    if not any(found):
        raise TokenizerError(
            f"The model has {known} rows, none of them for the pieces of {', '.join(map(repr, texts))}.",
            "Choose another initialisation, e.g. mean.",
        )
    return [group for group in found if group]


def _pieces(tokenizer: Any, text: str) -> list[int]:
    pieces: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if not pieces:
        raise TokenizerError(
            f"The tokenizer makes no token of {text!r}.", "Choose another initialisation, e.g. mean."
        )
    return pieces


def mean_of_means(weight: torch.Tensor, groups: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the mean row of groups of ids, Float[H], in which every group counts alike.

    The mean is computed in float32, whatever the dtype of the weights.
    """
    means = [weight[torch.tensor(list(group), device=weight.device)].float().mean(0) for group in groups]
    return torch.stack(means).mean(0).to(weight.dtype)


def _hidden_state(model: Any, tokenizer: Any, description: str) -> torch.Tensor:
    ids = torch.tensor([_pieces(tokenizer, description)], device=model.get_input_embeddings().weight.device)
    training = model.training
    model.eval()
    hidden: torch.Tensor = model(ids, output_hidden_states=True).hidden_states[-1][0, -1]
    model.train(training)
    return hidden


def _random(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    # Drawn on the CPU: the same row on every device.
    drawn = torch.randn(rows.shape[1:], generator=generator).to(rows.device)
    return (drawn * rows.float().std(correction=0)).to(rows.dtype)


def _scaled(hidden: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    # A hidden state is normalised for the output head, far from the scale of embedding rows.
    norm = rows.float().norm(dim=1).mean()
    return (hidden.float() / hidden.float().norm() * norm).to(rows.dtype)
