"""Edit tokens in a tokenizer and a model: their names, their ids, their readiness, and how to add them.

:mod:`.vocabulary` finds them, :mod:`.inspection` checks whether a model is ready for them, :mod:`.addition`
adds them with initialised rows (:mod:`.initialisation`) to every table that has one for each token
(:mod:`.tables`), and :mod:`.untouched` checks whether anything has trained them since. All models are loaded
by :mod:`.loading` and saved by :mod:`.saving`, with a :mod:`.card`; :mod:`.ends` finds where an answer ends.
Importing this package imports neither torch nor transformers.
"""

from typing import TYPE_CHECKING

from halluc_plugin.tokens.inspection import inspect_tokenizer
from halluc_plugin.tokens.vocabulary import (
    BACKTRACK_TOKEN,
    EDIT_TOKENS,
    RESTART_TOKEN,
    STEP_TOKEN,
    edit_vocab,
    vocab_of,
)

if TYPE_CHECKING:
    from halluc_plugin.tokens.addition import AddedTokens, add_edit_tokens
    from halluc_plugin.tokens.initialisation import Initialisation

__all__ = [
    "BACKTRACK_TOKEN",
    "EDIT_TOKENS",
    "RESTART_TOKEN",
    "STEP_TOKEN",
    "AddedTokens",
    "Initialisation",
    "add_edit_tokens",
    "edit_vocab",
    "inspect_tokenizer",
    "vocab_of",
]


def __getattr__(name: str) -> object:
    if name in {"AddedTokens", "add_edit_tokens"}:  # these need torch
        from halluc_plugin.tokens import addition

        return getattr(addition, name)
    if name == "Initialisation":
        from halluc_plugin.tokens import initialisation

        return initialisation.Initialisation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
