"""Describe a server to the middleware."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halluc_plugin.edits import EditVocab
from halluc_plugin.tokens import edit_vocab


@dataclass(frozen=True)
class Served:
    """The description of a server.

    Attributes:
        tokenizer: The model's transformers tokenizer, None if the server has none.
        parses_chats: Whether the server parses chat answers into reasoning and tool calls.
        limits_edits: Whether its engine applies the edit settings of a request.
    """

    tokenizer: Any | None
    parses_chats: bool
    limits_edits: bool

    @cached_property
    def vocab(self) -> EditVocab:
        """The edit vocabulary of the tokenizer.

        Raises:
            TokenizerError: The tokenizer has no backtrack token, or one that decoding drops.
        """
        return edit_vocab(self.tokenizer)
