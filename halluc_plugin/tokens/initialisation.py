"""First rows of a new edit token in the input and the output embedding.

Sources: ``MEAN`` is the centroid; ``SEMANTIC`` and ``DESCRIPTION`` follow the anchors and the context
initialisation of N-MARS; ``SUBTOKENS`` averages the pieces that the old tokenizer makes of the token's text.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import torch

from halluc_plugin.errors import TokenizerError
from halluc_plugin.tokens.vocabulary import BACKTRACK_TOKEN, RESTART_TOKEN, STEP_TOKEN


class Initialisation(StrEnum):
    """How the rows of a new token start."""

    MEAN = "mean"
    """Mean of all rows."""
    SEMANTIC = "semantic"
    """Mean of the rows of words with the token's meaning (:data:`ANCHORS`)."""
    DESCRIPTION = "description"
    """The model's own last hidden state after reading a description of the token (:data:`DESCRIPTIONS`), at
    the mean row's norm."""
    SUBTOKENS = "subtokens"
    """Mean of the rows of the pieces that the token's text is split into without it."""


ANCHORS = {
    BACKTRACK_TOKEN: (
        "delete", "remove", "undo", "erase", "back", "cancel", "retry", "revert", "reset", "clear",
        "backspace",
    ),
    STEP_TOKEN: ("undo", "line", "step", "sentence", "delete", "remove", "revert", "cancel", "previous"),
    RESTART_TOKEN: ("restart", "again", "over", "start", "begin", "reset", "clear", "everything", "new"),
}  # fmt: skip
"""Words with the meaning of each token."""

DESCRIPTIONS = {
    BACKTRACK_TOKEN: "This token takes back the previous token: what was just written is wrong and is "
    "deleted.",
    STEP_TOKEN: "This token takes back the last step: the whole line that was just written is wrong and is "
    "deleted.",
    RESTART_TOKEN: "This token takes back the whole answer: it is wrong, all of it is deleted, and it begins "
    "again.",
}
"""What each token does, in words."""


@torch.no_grad()
def initial_rows(
    model: Any, tokenizer: Any, token: str, how: Initialisation, *, description: str = ""
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Compute the rows of a token that the tokenizer does not have yet.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer, without ``token``.
        token: Text of the new token.
        how: The initialisation.
        description: What ``DESCRIPTION`` reads instead of :data:`DESCRIPTIONS`.

    Returns:
        Float[H] for the input embedding, and for the output embedding; None for the latter when it is tied
        to the input or absent.

    Raises:
        TokenizerError: The tokenizer makes nothing of the words it needs.
    """
    inputs = model.get_input_embeddings().weight
    outputs = _untied_outputs(model)
    known = min(len(tokenizer), inputs.shape[0])  # rows beyond the tokenizer are padding that nothing trained
    weights = [inputs] if outputs is None else [inputs, outputs]
    if how is Initialisation.DESCRIPTION:
        hidden = _hidden_state(model, tokenizer, description or DESCRIPTIONS[token])
        rows = [_scaled(hidden, weight[:known]) for weight in weights]
    else:
        groups = _groups(tokenizer, token, how, known)
        rows = [_mean_of_means(weight, groups) for weight in weights]
    return rows[0], rows[1] if outputs is not None else None


def _untied_outputs(model: Any) -> torch.Tensor | None:
    head = model.get_output_embeddings()
    if head is None or head.weight is model.get_input_embeddings().weight:
        return None
    weight: torch.Tensor = head.weight
    return weight


def _groups(tokenizer: Any, token: str, how: Initialisation, known: int) -> list[Sequence[int]]:
    """The ids whose rows are averaged, group by group."""
    if how is Initialisation.MEAN:
        return [range(known)]
    if how is Initialisation.SEMANTIC:
        return [_pieces(tokenizer, f" {word}") for word in ANCHORS[token]]
    return [_pieces(tokenizer, token)]


def _pieces(tokenizer: Any, text: str) -> list[int]:
    pieces: list[int] = tokenizer.encode(text, add_special_tokens=False)
    if not pieces:
        raise TokenizerError(
            f"The tokenizer makes no token of {text!r}.", "Choose another initialisation, e.g. mean."
        )
    return pieces


def _mean_of_means(weight: torch.Tensor, groups: Sequence[Sequence[int]]) -> torch.Tensor:
    """Each group counts alike, however many pieces it has. In float32, whatever the dtype of the weights."""
    means = [weight[torch.tensor(list(group), device=weight.device)].float().mean(0) for group in groups]
    return torch.stack(means).mean(0).to(weight.dtype)


def _hidden_state(model: Any, tokenizer: Any, description: str) -> torch.Tensor:
    ids = torch.tensor([_pieces(tokenizer, description)], device=model.get_input_embeddings().weight.device)
    training = model.training
    model.eval()
    hidden: torch.Tensor = model(ids, output_hidden_states=True).hidden_states[-1][0, -1]
    model.train(training)
    return hidden


def _scaled(hidden: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    # A hidden state is normalised for the output head, far from the scale of embedding rows.
    norm = rows.float().norm(dim=1).mean()
    return (hidden.float() / hidden.float().norm() * norm).to(rows.dtype)
