"""Room "model": whether a model and its tokenizer are ready for edit tokens."""

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.errors import TokenizerError


def checks(path: str, *, trust_remote_code: bool = False) -> list[Check]:
    """Load the tokenizer and the config, and examine both.

    Args:
        path: A folder or a hub name.
        trust_remote_code: Whether code that comes with it may run.

    Returns:
        Lines about loading, then those of :func:`halluc_plugin.tokens.inspect_tokenizer`.
    """
    from halluc_plugin.tokens import inspect_tokenizer
    from halluc_plugin.tokens.loading import load_config, load_tokenizer

    try:
        tokenizer = load_tokenizer(path, trust_remote_code=trust_remote_code)
        config = load_config(path, trust_remote_code=trust_remote_code)
    except TokenizerError as error:
        return [Check("load", CheckStatus.FAIL, error.cause, error.fix)]
    return [
        Check("load", CheckStatus.OK, f"{path}: {config.model_type}, {len(tokenizer)} tokens"),
        *inspect_tokenizer(tokenizer, config),
    ]
