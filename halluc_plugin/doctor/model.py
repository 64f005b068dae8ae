"""Room "model": check that a model and its tokenizer are ready for edit tokens."""

from pathlib import Path
from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.errors import TokenizerError

LOW = 5.0
"""Distance in nats below all other biases from which on a token is effectively banned."""


def checks(path: str, *, trust_remote_code: bool = False) -> list[Check]:
    """Load the tokenizer and the config, and examine both.

    Args:
        path: A folder or a hub name.
        trust_remote_code: Whether code that comes with it may run.

    Returns:
        The lines about loading, then those of :func:`halluc_plugin.tokens.inspect_tokenizer`.
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
        *_output_bias(Path(path).expanduser(), tokenizer),
    ]


def _output_bias(folder: Path, tokenizer: Any) -> list[Check]:
    """A line about the output's bias, where a folder's weights have one; spare rows may have -30."""
    from safetensors import SafetensorError, safe_open

    from halluc_plugin.tokens.vocabulary import EDIT_TOKENS, find

    ids = {token: number for token in EDIT_TOKENS if (number := find(tokenizer, token)) is not None}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, "pt") as weights:
                name = next((key for key in weights.keys() if key.endswith("lm_head.bias")), None)  # noqa: SIM118
                bias = None if name is None else weights.get_tensor(name)[: len(tokenizer)].float().tolist()
        except SafetensorError as error:
            return [Check("weights", CheckStatus.FAIL, f"{file.name}: {error}", "Copy the model again.")]
        if bias is not None:
            least = min(value for number, value in enumerate(bias) if number not in ids.values())
            known = {token: bias[number] for token, number in ids.items() if number < len(bias)}
            low = [f"{token} has {value:g}" for token, value in known.items() if value < least - LOW]
            if low:
                found = f"{', '.join(low)}, all others at least {least:g}: it would never be sampled"
                fix = "Add the token anew to the model from before: `halluc add-token` sets the bias too."
                return [Check("output bias", CheckStatus.WARN, found, fix)]
            return [Check("output bias", CheckStatus.OK, "edit tokens are within the range of the others")]
    return []
