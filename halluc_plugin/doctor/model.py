"""Room "model": whether a model and its tokenizer are ready for edit tokens."""

from halluc_plugin.checks import Check, CheckStatus


def checks(path: str) -> list[Check]:
    """Load the tokenizer and the config, and examine both.

    Args:
        path: A folder or a hub name.

    Returns:
        Lines about loading, then those of :func:`halluc_plugin.tokens.inspect_tokenizer`.
    """
    from transformers import AutoConfig, AutoTokenizer

    from halluc_plugin.tokens import inspect_tokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        config = AutoConfig.from_pretrained(path)
    except (OSError, ValueError) as error:
        fix = "Give a folder with config.json and the tokenizer's files, or a hub name that can be reached."
        return [Check("load", CheckStatus.FAIL, f"{path}: {str(error).splitlines()[0]}", fix)]
    return [
        Check("load", CheckStatus.OK, f"{path}: {config.model_type}, {len(tokenizer)} tokens"),
        *inspect_tokenizer(tokenizer, config),
    ]
