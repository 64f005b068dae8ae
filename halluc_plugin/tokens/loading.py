"""Loading models and tokenizers with one clear error; saving tokenizers so that they come back the same."""

from pathlib import Path
from typing import Any

from halluc_plugin.errors import TokenizerError

PROBE = "3*5=15\n15+7=22 -> It's 12,345 <|BACKTRACK|>times, naïve \t\n\n"
"""A text on which tokenizers that cut differently give different ids."""


def load_tokenizer(name: str, **options: Any) -> Any:
    """Load a transformers tokenizer.

    Args:
        name: Folder (``~`` is expanded) or hub name.
        **options: For ``AutoTokenizer.from_pretrained``.

    Raises:
        TokenizerError: There is none.
    """
    from transformers import AutoTokenizer

    return _load(AutoTokenizer, "tokenizer", name, options)


def load_model(name: str, **options: Any) -> Any:
    """Load a transformers causal language model.

    Args:
        name: Folder (``~`` is expanded) or hub name.
        **options: For ``AutoModelForCausalLM.from_pretrained``.

    Raises:
        TokenizerError: There is none.
    """
    from transformers import AutoModelForCausalLM

    return _load(AutoModelForCausalLM, "model", name, options)


def on_accelerator(model: Any) -> Any:
    """A model, moved to the accelerator of this host; left where it is if there is none.

    What samples from it or trains it follows it there.
    """
    import torch

    # What torch was built for may not be there.
    if not torch.accelerator.is_available():
        return model
    return model.to(torch.accelerator.current_accelerator())


def _load(loader: Any, what: str, name: str, options: dict[str, Any]) -> Any:
    folder = Path(name).expanduser()
    try:
        return loader.from_pretrained(str(folder) if folder.exists() else name, **options)
    except (OSError, ValueError) as error:
        raise TokenizerError(
            f"No {what} can be loaded from {name!r} ({str(error).splitlines()[0]}).",
            "Give a folder that holds one, or a hub name that can be reached.",
        ) from error


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer beside its model, and see that it comes back as it was.

    transformers chooses a tokenizer's class by the model's type for some models, whatever was saved.

    Args:
        tokenizer: The tokenizer.
        folder: Where the model's ``config.json`` is.

    Raises:
        TokenizerError: Loaded from ``folder``, it gives other ids.
    """
    tokenizer.save_pretrained(folder)
    loaded = load_tokenizer(str(folder))
    same = loaded.get_vocab() == tokenizer.get_vocab()
    if not same or loaded.encode(PROBE) != tokenizer.encode(PROBE):
        raise TokenizerError(
            f"The tokenizer saved in {folder} is loaded as a {type(loaded).__name__}, with other ids than "
            f"the {type(tokenizer).__name__} in use.",
            "Use a model type whose tokenizer class transformers does not replace, or that class itself.",
        )
