"""What the middleware must know of its server."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from halluc_plugin.edits import EditVocab
from halluc_plugin.tokens import edit_vocab


@dataclass(frozen=True)
class Served:
    """What is known of the server.

    Attributes:
        tokenizer: The model's transformers tokenizer, None if the server has none.
        parses_chats: Whether it takes chat answers apart, into reasoning and calls of tools.
        limits_edits: Whether its engine applies what a request says of edits.
    """

    tokenizer: Any | None
    parses_chats: bool
    limits_edits: bool

    @cached_property
    def vocab(self) -> EditVocab:
        """Which ids edit, by the tokenizer.

        Raises:
            TokenizerError: It has no backtrack token, or none that text survives.
        """
        return edit_vocab(self.tokenizer)
