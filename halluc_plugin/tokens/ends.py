"""Where an answer ends: ids that end it, and stop strings, which cut what is left after collapsing."""

from collections.abc import Iterable, Sequence
from typing import Any


def end_ids(tokenizer: Any, by_config: int | list[int] | None, until: Sequence[str]) -> frozenset[int]:
    """Ids that end an answer: EOS of model and tokenizer, and stop strings that are a special token."""
    configured = by_config if isinstance(by_config, list) else [by_config]
    found = (*configured, tokenizer.eos_token_id, *end_marks(tokenizer, until))
    return frozenset(i for i in found if i is not None)


def end_marks(tokenizer: Any, until: Iterable[str]) -> dict[int, str]:
    """Stop strings that are a special token, by its id: decoding drops it, so no text would ever match."""
    wanted = set(until)
    if not wanted:
        return {}
    return {
        token_id: token.content
        for token_id, token in tokenizer.added_tokens_decoder.items()
        if token.special and token.content in wanted
    }


def cut(text: str, until: Sequence[str]) -> tuple[str, str | None]:
    """What stands before the stop strings, and the one that it ends at, None where there is none.

    Each cuts what those before it have left, as in lm-eval; empty ones cut nothing.
    """
    reached = None
    for stop in until:
        before, found, _ = text.partition(stop) if stop else (text, "", "")
        if found:
            text, reached = before, stop
    return text, reached
