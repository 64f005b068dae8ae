"""Check before any training that a model can write the token by which it is to take an answer back."""

from typing import Any

from halluc_plugin.decoding.limits import require_rows
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TokenizerError
from halluc_plugin.tokens import RESTART_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_config, load_generation_config


def reset_vocab(model: str, tokenizer: Any, *, trust_remote_code: bool = False) -> EditVocab:
    """Return the edit vocabulary of a model that can sample the restart token.

    Args:
        model: Model folder or hub name; only its configs are loaded.
        tokenizer: Its tokenizer.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        TokenizerError: The tokenizer has no restart token, the model has no row for it, or its generation
            config never lets it be sampled.
    """
    vocab = vocab_of(tokenizer)
    if vocab.restart is None:
        raise TokenizerError(
            f"The tokenizer of {model} has no token {RESTART_TOKEN}, by which an answer is taken back.",
            f"Add it to model and tokenizer: `halluc add-token --restart --model {model} --out FOLDER`.",
        )
    require_rows(load_config(model, trust_remote_code=trust_remote_code), vocab)
    config = load_generation_config(model)
    suppressed = getattr(config, "suppress_tokens", None) or []
    bad = getattr(config, "bad_words_ids", None) or []
    if vocab.restart in suppressed or [vocab.restart] in bad:
        where = "suppress_tokens" if vocab.restart in suppressed else "bad_words_ids"
        raise TokenizerError(
            f"The generation config of {model} has {RESTART_TOKEN} in {where}: it is never sampled.",
            "Take it out of generation_config.json.",
        )
    return vocab
