"""Save a model with a tokenizer that loads unchanged, and a card for users of the files."""

from pathlib import Path
from typing import Any

from halluc_plugin.tokens.card import write_card
from halluc_plugin.tokens.loading import save_tokenizer


def save_model(
    model: Any, tokenizer: Any, folder: Path, *, base: str | None = None, step_delimiter: str = "\n"
) -> None:
    """Save a model, its tokenizer and its card in one folder.

    Args:
        model: A transformers model.
        tokenizer: The model's tokenizer.
        folder: The folder to write to.
        base: Folder or hub name of the model that it was made from; by default the name in its config.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.

    Raises:
        TokenizerError: The tokenizer is refused by :func:`~halluc_plugin.tokens.loading.save_tokenizer`.
    """
    model.save_pretrained(folder)
    save_beside(model, tokenizer, folder, base=base, step_delimiter=step_delimiter)


def save_beside(
    model: Any, tokenizer: Any, folder: Path, *, base: str | None = None, step_delimiter: str = "\n"
) -> None:
    """Save the files of :func:`save_model` except for the weights."""
    save_tokenizer(tokenizer, folder)
    origin = str(getattr(model, "name_or_path", "")) if base is None else base
    write_card(folder, tokenizer, base=origin, step_delimiter=step_delimiter)
