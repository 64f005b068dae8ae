"""Make an :class:`~halluc_plugin.edits.EditVocab` from a tokenizer, refusing tokens that would get lost."""

from dataclasses import dataclass
from typing import Any

from halluc_plugin.edits import EditVocab, find_delimiters
from halluc_plugin.edits.vocab import DELIMITERS
from halluc_plugin.errors import TokenizerError

BACKTRACK_TOKEN = "<|BACKTRACK|>"  # noqa: S105 - a token of language models, no password
STEP_TOKEN = "<|BACKTRACK_STEP|>"  # noqa: S105 - same
RESTART_TOKEN = "<|RESTART|>"  # noqa: S105 - same


@dataclass(frozen=True)
class EditToken:
    """An edit token as models have it; :mod:`halluc_plugin.edits` defines what it does.

    Attributes:
        text: Text of the token.
        role: Its field of :class:`~halluc_plugin.edits.EditVocab`.
        deletes: What it deletes, for the help of options.
        effect: What it does, for the card of a model.
        symbol: The symbol by which it is shown to readers.
        words: Words with its meaning, from whose rows it may be initialised.
        description: A sentence that says what it does.
        delimiter: Text that ends what it deletes, if that is not the step delimiter of a run.
    """

    text: str
    role: str
    deletes: str
    effect: str
    symbol: str
    words: tuple[str, ...]
    description: str
    delimiter: str = ""


TOKENS = (
    EditToken(
        BACKTRACK_TOKEN,
        "backtrack",
        deletes="a token",
        effect="deletes the token before it",
        symbol="⌫",
        words=(
            "delete", "remove", "undo", "erase", "back", "cancel", "retry", "revert", "reset", "clear",
            "backspace",
        ),
        description="This token takes back the previous token: what was just written is wrong and is "
        "deleted.",
    ),
    EditToken(
        STEP_TOKEN,
        "step",
        deletes="a step",
        effect="deletes the last step: back to just after the text that ended the step before",
        symbol="⇤",
        words=("undo", "line", "step", "sentence", "delete", "remove", "revert", "cancel", "previous"),
        description="This token takes back the last step: the whole line that was just written is wrong and "
        "is deleted.",
    ),
    EditToken(
        RESTART_TOKEN,
        "restart",
        deletes="the response",
        effect="deletes the whole answer",
        symbol="⟲",
        words=("restart", "again", "over", "start", "begin", "reset", "clear", "everything", "new"),
        description="This token takes back the whole answer: it is wrong, all of it is deleted, and it "
        "begins again.",
    ),
)  # fmt: skip
"""The edit tokens, the backtrack token first."""

EDIT_TOKENS = tuple(token.text for token in TOKENS)
"""The texts of the edit tokens."""


def edit_vocab(tokenizer: Any, *, step_delimiter: str = "\n") -> EditVocab:
    r"""Find the edit tokens of a tokenizer.

    Args:
        tokenizer: A transformers tokenizer. It must have the backtrack token; the step backtrack and the
            restart token are used when it has them.
        step_delimiter: Text that ends a step; used with the step backtrack token only.

    Returns:
        The edit vocabulary, with the delimiters of the step backtrack token if there is one, and which ids
        exist.

    Raises:
        TokenizerError: The backtrack token is missing, an edit token is special (decoding would drop it and
            leave the text that it erased), or its id is beyond those that engines let a model sample.
        EditVocabError: No single token ends with ``step_delimiter``.
    """
    found = {token: token_id for token in TOKENS if (token_id := find(tokenizer, token.text)) is not None}
    ids = {token.role: token_id for token, token_id in found.items()}
    if "backtrack" not in ids:
        raise TokenizerError(
            f"The tokenizer has no token {BACKTRACK_TOKEN}.",
            "Add it to model and tokenizer: `halluc add-token --model MODEL --out FOLDER`.",
        )
    for token, token_id in found.items():
        if fault := why_unusable(tokenizer, token.text, token_id):
            raise TokenizerError(*fault)
    edit_ids = frozenset(ids.values())
    delimiters = {
        DELIMITERS[token.role]: find_delimiters(
            tokenizer, token.delimiter or step_delimiter, edit_ids=edit_ids
        )
        for token in found
        if token.role in DELIMITERS
    }
    size, gaps = extent(tokenizer)
    return EditVocab(**ids, **delimiters, size=size, gaps=gaps)  # type: ignore[arg-type]


def edit_free_vocab(tokenizer: Any) -> EditVocab:
    """Return a vocabulary in which nothing edits; it still says which ids exist.

    Its backtrack token is an id that is not a token.
    """
    size, gaps = extent(tokenizer)
    return EditVocab(backtrack=size, size=size, gaps=gaps)


def extent(tokenizer: Any) -> tuple[int, frozenset[int]]:
    """Return the first id after all tokens of a tokenizer, and the ids before it that are not tokens.

    ``len(tokenizer)`` counts tokens; with gaps, the last tokens have greater ids.
    """
    ids = {int(token_id) for token_id in tokenizer.get_vocab().values()}
    size = max(ids) + 1
    return size, frozenset(range(size)) - ids if len(ids) < size else frozenset()


def find(tokenizer: Any, token: str) -> int | None:
    """Return the id of a token by its text, None if the tokenizer does not have it."""
    token_id = tokenizer.get_vocab().get(token)
    return None if token_id is None else int(token_id)


def why_unusable(tokenizer: Any, token: str, token_id: int) -> tuple[str, str] | None:
    """Return cause and fix if the hosts would lose an edit token, None if they would not."""
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
    """Return the edit vocabulary of a tokenizer, or one in which nothing edits if it has no edit token."""
    if BACKTRACK_TOKEN not in tokenizer.get_vocab():
        return edit_free_vocab(tokenizer)
    return edit_vocab(tokenizer, step_delimiter=step_delimiter)
