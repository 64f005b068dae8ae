"""Loading a tokenizer by folder or hub name, with one clear error."""

from pathlib import Path
from typing import Any

from halluc_plugin.errors import TokenizerError


def load_tokenizer(name: str, **options: Any) -> Any:
    """Load a transformers tokenizer.

    Args:
        name: Folder (``~`` is expanded) or hub name.
        **options: For ``AutoTokenizer.from_pretrained``.

    Raises:
        TokenizerError: There is none.
    """
    from transformers import AutoTokenizer

    folder = Path(name).expanduser()
    try:
        return AutoTokenizer.from_pretrained(str(folder) if folder.exists() else name, **options)
    except (OSError, ValueError) as error:
        raise TokenizerError(
            f"No tokenizer can be loaded from {name!r} ({str(error).splitlines()[0]}).",
            "Give a folder that holds one, or a hub name that can be reached.",
        ) from error
