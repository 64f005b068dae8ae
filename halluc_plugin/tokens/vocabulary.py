"""From a tokenizer to an :class:`~halluc_plugin.edits.EditVocab`, refusing tokens that would get lost."""

from typing import Any

from halluc_plugin.edits import EditVocab, find_delimiters
from halluc_plugin.errors import TokenizerError

BACKTRACK_TOKEN = "<|BACKTRACK|>"  # noqa: S105 - a token of language models, no password
STEP_TOKEN = "<|BACKTRACK_STEP|>"  # noqa: S105 - same
RESTART_TOKEN = "<|RESTART|>"  # noqa: S105 - same

EDIT_TOKENS = (BACKTRACK_TOKEN, STEP_TOKEN, RESTART_TOKEN)
"""The edit tokens by their text, the backtrack token first."""


def edit_vocab(tokenizer: Any, *, step_delimiter: str = "\n") -> EditVocab:
    r"""Find the edit tokens of a tokenizer.

    Args:
        tokenizer: A transformers tokenizer. It must have the backtrack token; the step backtrack and the
            restart token are used when it has them.
        step_delimiter: Text that ends a step; used with the step backtrack token only.

    Returns:
        The ids, with the delimiters of the step backtrack token when there is one, and which ids exist.

    Raises:
        TokenizerError: The backtrack token is missing, an edit token is special (decoding would drop it and
            leave the text that it erased), or its id is beyond what engines let a model sample.
        EditVocabError: No single token ends with ``step_delimiter``.
    """
    ids = {token: token_id for token in EDIT_TOKENS if (token_id := find(tokenizer, token)) is not None}
    if BACKTRACK_TOKEN not in ids:
        raise TokenizerError(
            f"The tokenizer has no token {BACKTRACK_TOKEN}.",
            "Add it to model and tokenizer: `halluc add-token --model MODEL --out FOLDER`.",
        )
    for token, token_id in ids.items():
        if fault := why_unusable(tokenizer, token, token_id):
            raise TokenizerError(*fault)
    step = ids.get(STEP_TOKEN)
    delimiters: frozenset[int] = frozenset()
    if step is not None:
        delimiters = find_delimiters(tokenizer, step_delimiter, edit_ids=frozenset(ids.values()))
    size, gaps = extent(tokenizer)
    return EditVocab(ids[BACKTRACK_TOKEN], step, delimiters, ids.get(RESTART_TOKEN), size, gaps)


def edit_free_vocab(tokenizer: Any) -> EditVocab:
    """A vocabulary in which nothing edits, with which ids exist: its backtrack token is an id of no token."""
    size, gaps = extent(tokenizer)
    return EditVocab(backtrack=size, size=size, gaps=gaps)


def extent(tokenizer: Any) -> tuple[int, frozenset[int]]:
    """The first id behind all tokens of a tokenizer, and the ids before it that are no token.

    ``len(tokenizer)`` counts tokens: with gaps, the last ones have greater ids.
    """
    ids = {int(token_id) for token_id in tokenizer.get_vocab().values()}
    size = max(ids) + 1
    return size, frozenset(range(size)) - ids if len(ids) < size else frozenset()


def find(tokenizer: Any, token: str) -> int | None:
    """The id of a token by its text, None if the tokenizer does not have it."""
    token_id = tokenizer.get_vocab().get(token)
    return None if token_id is None else int(token_id)


def why_unusable(tokenizer: Any, token: str, token_id: int) -> tuple[str, str] | None:
    """Cause and fix of what would lose an edit token on its way through the hosts; None if nothing would."""
    added = tokenizer.added_tokens_decoder.get(token_id)
    if added is not None and added.special:
        return (
            f"{token} (id {token_id}) is a special token: decoding drops it and leaves what it erased.",
            f"Run `halluc add-token`, or add {token} as AddedToken(..., special=False, normalized=False).",
        )
    if token_id >= len(tokenizer):
        return (
            f"{token} has id {token_id}, but engines mask every id from len(tokenizer)={len(tokenizer)} on.",
            "Rebuild the tokenizer so that its ids have no holes, then run `halluc add-token`.",
        )
    if tokenizer.encode(token, add_special_tokens=False) != [token_id]:
        return (
            f"The tokenizer does not read the text {token} as its id {token_id}.",
            "Add the token with normalized=False: `halluc add-token` does.",
        )
    return None


def vocab_of(tokenizer: Any, *, step_delimiter: str = "\n") -> EditVocab:
    """The edit vocabulary of a tokenizer; one in which nothing edits when it has no edit token."""
    if BACKTRACK_TOKEN not in tokenizer.get_vocab():
        return edit_free_vocab(tokenizer)
    return edit_vocab(tokenizer, step_delimiter=step_delimiter)
