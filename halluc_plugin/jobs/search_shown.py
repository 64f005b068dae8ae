"""Check searches in which a model reads answers: debates, and universal self-consistency."""

from collections.abc import Sequence
from typing import Any

from halluc_plugin.data.shown_answers import shown
from halluc_plugin.decoding.limits import max_positions
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.jobs.search_methods import Method
from halluc_plugin.search.selection import Rule

REQUEST = "\nThese are answers to the problem. Answer it again.\n"
"""What asks for another answer behind shown ones, by default."""
CHOOSING = frozenset({Method.SAMPLE, Method.REFINE, Method.ERASE, Method.DEBATE})
"""The methods that find at most as many answers as samples of a round, which a model can read together."""


def reads(method: Method, rule: Rule | None) -> bool:
    """Return whether a model reads answers in such a search."""
    return method is Method.DEBATE or rule is Rule.UNIVERSAL


def check_reading(
    method: Method, rule: Rule | None, *, n: int, rounds: int | None, request: str | None
) -> None:
    """Refuse settings that show nothing, or too much.

    Args:
        method: The method of the search.
        rule: The rule that selects an answer.
        n: Number of copies of a debate, or of samples of a round.
        rounds: Number of rounds of a debate, None for its default.
        request: Text that asks for another answer, None for the default.

    Raises:
        SettingsError: A debate has fewer than two copies or no round, the rule has no meaning for the method,
            or a request is given that is empty, or that nobody reads.
    """
    if method is Method.DEBATE and n < 2:
        raise SettingsError(
            f"--samples is {n}: a debate has so many copies, and there is no other answer to read.",
            "Give at least 2.",
        )
    if method is Method.DEBATE and rounds is not None and rounds < 1:
        raise SettingsError(
            f"--rounds is {rounds}, and in no round answers would be read.",
            "Give at least 1, or use --method sample --rule majority.",
        )
    if rule is Rule.UNIVERSAL and method not in CHOOSING:
        raise SettingsError(
            f"--rule universal has no meaning for --method {method}, which may find more answers "
            "than a model can read.",
            f"Use {' or '.join(sorted(CHOOSING))}.",
        )
    if request is not None and not reads(method, rule):
        raise SettingsError(
            "--request is read behind shown answers, and none are shown.",
            "Leave it out, or use --method debate or --rule universal.",
        )
    if request is not None and not request:
        raise SettingsError("--request is empty.", "Give the text that asks for another answer.")


def request_ids(request: str | None, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids of what asks for another answer.

    Args:
        request: The text, None for the default.
        tokenizer: The tokenizer that encodes it.

    Raises:
        TokenizerError: The tokenizer makes no ids of it.
    """
    text = REQUEST if request is None else request
    found = tuple(tokenizer.encode(text, add_special_tokens=False))
    if not found:
        raise TokenizerError(
            f"The tokenizer makes no ids of the request {text!r}.", "Give another one: --request TEXT."
        )
    return found


def require_reading_room(
    config: Any, prompts: Sequence[Sequence[int]], request: Sequence[int], *, n: int, max_tokens: int
) -> None:
    """Refuse a model whose positions do not hold all answers and another one.

    Args:
        config: The model's transformers config.
        prompts: Token ids of the prompts.
        request: Token ids that ask for another answer.
        n: Number of answers that are shown.
        max_tokens: Largest number of tokens of an answer.

    Raises:
        SettingsError: A prompt outgrows the positions.
    """
    positions = max_positions(config)
    longest = max(prompts, key=len, default=())
    needed = len(shown(longest, [[0] * max_tokens] * n, request)) + max_tokens
    if positions is not None and needed > positions:
        raise SettingsError(
            f"A prompt of {len(longest)} tokens, {n} answers of up to {max_tokens} that are read behind it, "
            f"and another one take {needed} positions, and the model has {positions}.",
            "Give fewer --samples or --max-tokens, or use a model with more positions.",
        )
