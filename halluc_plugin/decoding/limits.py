"""Check that a model has the rows and positions for what is to be sampled."""

from collections.abc import Iterable, Sequence
from typing import Any

from halluc_plugin.edits import Context, EditVocab
from halluc_plugin.errors import SettingsError, TokenizerError

_NAMES = ("n_positions", "max_position_embeddings", "n_ctx")
_FACTORS_EXTEND = frozenset({"linear", "dynamic", "yarn"})
"""Kinds of rotary scaling whose factor multiplies what the config names; others name the product."""


def max_positions(config: Any) -> int | None:
    """Return the longest sequence, in tokens, that a model was made for.

    Beyond that length learned positions have no row, and rotary positions give bad results without an error.

    Args:
        config: A transformers config. For a model of several modalities, the text model's part counts.

    Returns:
        The number of tokens, with the scaling of rotary positions; None if the config names none.
    """
    text = config.get_text_config()
    named = next((value for name in _NAMES if (value := getattr(text, name, None)) is not None), None)
    if not isinstance(named, int) or named < 1 or getattr(text, "alibi", False):
        return None
    rope = getattr(text, "rope_parameters", None) or {}
    kinds = [value for value in rope.values() if isinstance(value, dict)] or [rope]
    return min(max(named, _scaled(kind, named)) for kind in kinds)


def _scaled(rope: dict[str, Any], named: int) -> int:
    if rope.get("rope_type") not in _FACTORS_EXTEND or not rope.get("factor"):
        return named
    return int((rope.get("original_max_position_embeddings") or named) * rope["factor"])


def require_room(
    config: Any,
    prompts: Iterable[Sequence[int]],
    max_tokens: int | Iterable[int],
    context: Context = Context.SOFT,
) -> None:
    """Refuse to sample more tokens than a model has positions, before anything is sampled.

    In hard context an edit frees positions, so only the prompt must fit: a response ends when its live tokens
    fill the model's positions.

    Args:
        config: The model's transformers config.
        prompts: The token ids of each prompt.
        max_tokens: Largest number of tokens of an answer (raw actions if it has edits): one number for all
            prompts, or one for each.
        context: What the model sees after an edit.

    Raises:
        SettingsError: A prompt and its answer do not fit; the message names the longest prompt.
    """
    positions = max_positions(config)
    if positions is None:
        return
    lengths = [len(prompt) for prompt in prompts]
    wanted = [max_tokens] * len(lengths) if isinstance(max_tokens, int) else list(max_tokens)
    needed = [1 if context is Context.HARD else most for most in wanted]
    length, most, need = max(
        zip(lengths, wanted, needed, strict=True), key=lambda row: row[0] + row[2], default=(0, 0, 0)
    )
    if length + need > positions:
        raise SettingsError(
            f"A prompt of {length} tokens with an answer of up to {most} does not fit in the model's "
            f"{positions} positions.",
            "Allow shorter answers (--max-tokens, --gen_kwargs max_gen_toks=...), leave long prompts out, or "
            "use a model with more positions.",
        )


def require_rows(config: Any, vocab: EditVocab) -> None:
    """Refuse a model that has no row for an edit token of its tokenizer, and so could never write it.

    Args:
        config: The model's transformers config.
        vocab: The edit vocabulary, with the number of ids.

    Raises:
        TokenizerError: The model has no row for an edit token.
    """
    rows, size = config.get_text_config().vocab_size, vocab.size
    last = max((token for token in vocab.edit_ids if size is not None and token < size), default=-1)
    if last >= rows:
        raise TokenizerError(
            f"The tokenizer has an edit token with id {last}, but the model has {rows} rows of tokens.",
            "Add the token to model and tokenizer: `halluc add-token --model MODEL --out FOLDER`.",
        )
