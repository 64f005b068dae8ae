"""Find where an answer ends: ids that end it, and stop strings, which cut the collapsed text."""

from collections.abc import Iterable, Sequence
from typing import Any


def end_ids(tokenizer: Any, by_config: int | list[int] | None, until: Sequence[str]) -> frozenset[int]:
    """Return the ids that end an answer.

    They are EOS of model and tokenizer, and stop strings that are a special token.

    Args:
        tokenizer: A transformers tokenizer.
        by_config: The EOS of the model's generation config: one id, several, or None.
        until: The stop strings.
    """
    configured = by_config if isinstance(by_config, list) else [by_config]
    found = (*configured, tokenizer.eos_token_id, *end_marks(tokenizer, until))
    return frozenset(i for i in found if i is not None)


def end_marks(tokenizer: Any, until: Iterable[str]) -> dict[int, str]:
    """Return the stop strings that are a special token, by its id.

    Decoding drops such tokens, so that the strings would never match the text.
    """
    wanted = set(until)
    if not wanted:
        return {}
    return {
        token_id: token.content
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content in wanted
    }


def cut(text: str, until: Sequence[str]) -> tuple[str, str | None]:
    """Return the text before the stop strings, and the one at which it ends, None if there is none.

    Each string cuts the text that those before it have left, as in lm-eval; empty ones cut nothing.
    """
    reached = None
    for stop in until:
        before, found, _ = text.partition(stop) if stop else (text, "", "")
        if found:
            text, reached = before, stop
    return text, reached
