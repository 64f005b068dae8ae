"""Build a tokenizer with one token for each number, and bytes for everything else.

Arithmetic tasks read and write whole numbers as single tokens, which small models learn in minutes. Numbers
beyond the largest are written digit by digit, and any other text byte by byte, so that every text encodes and
decodes to itself.
"""

from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.tokens import BACKTRACK_TOKEN, RESTART_TOKEN, STEP_TOKEN

EOS = "<|im_end|>"
PAD = "<|endoftext|>"
SYMBOLS = (" ", "\n", "+", "-", "*", "/", "=", "(", ")", ",", ":", "?", " -> ", " mod ")
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def number_tokenizer(*, largest: int = 400, edit_tokens: tuple[str, ...] = ()) -> Any:
    """Build the number-level tokenizer.

    Args:
        largest: Largest number with a token of its own.
        edit_tokens: Texts of edit tokens to add, as ordinary tokens.

    Returns:
        A transformers tokenizer. Its chat template joins the contents of all messages.

    Raises:
        SettingsError: ``largest`` is below 9, so that a digit would be missing.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    if largest < 9:
        raise SettingsError(f"The largest number is {largest}.", "Give at least 9: the digits are needed.")
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    words = [PAD, EOS, *bytes_, *SYMBOLS, *map(str, range(largest + 1))]
    backend = Tokenizer(
        models.BPE(
            vocab={word: token_id for token_id, word in enumerate(words)},
            merges=[],
            byte_fallback=True,
            ignore_merges=True,  # a whole piece that is in the vocabulary is one token
        )
    )
    spaced = "|".join(symbol for symbol in SYMBOLS if len(symbol) > 1)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{spaced}|\d+|[\s\S]"), "isolated")
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=EOS,
        pad_token=PAD,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in edit_tokens])
    return tokenizer


def editing_tokenizer(edit: str | None, *, largest: int = 400) -> Any:
    """Return the number-level tokenizer with the edit tokens that a kind of traces needs.

    Args:
        edit: The edit that takes back: ``token``, ``step`` or ``restart``; None for no edit token.
        largest: Largest number with a token of its own.
    """
    more = {"step": (STEP_TOKEN,), "restart": (RESTART_TOKEN,)}.get(edit or "", ())
    return number_tokenizer(largest=largest, edit_tokens=() if edit is None else (BACKTRACK_TOKEN, *more))
