"""Load models and tokenizers with clear errors, and save tokenizers so that they load unchanged."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from halluc_plugin.errors import TokenizerError

PROBE = "3*5=15\n15+7=22 -> It's 12,345 <|BACKTRACK|>times, naïve \t\n\n"
"""A text on which tokenizers that cut differently give different ids."""
GENERATION_MODES = frozenset({"do_sample", "num_beams", "use_cache", "return_dict_in_generate"})
LOADABLE = "Give a folder that holds one, or a hub name that can be reached."


TRUST = "--trust-remote-code"

logger = logging.getLogger(__name__)


def load_tokenizer(name: str, *, trust_remote_code: bool = False, **options: Any) -> Any:
    """Load a transformers tokenizer.

    Args:
        name: Folder (``~`` is expanded) or hub name.
        trust_remote_code: Whether code that comes with it may run; no question is ever asked on the terminal.
        **options: Further arguments of ``AutoTokenizer.from_pretrained``.

    Raises:
        TokenizerError: There is no tokenizer, its files are damaged, or it needs code that is not trusted.
    """
    from transformers import AutoTokenizer

    return _load(AutoTokenizer, "tokenizer", name, trust_remote_code, options)


def load_config(name: str, *, trust_remote_code: bool = False, **options: Any) -> Any:
    """Load a transformers config, with the arguments and errors of :func:`load_tokenizer`."""
    from transformers import AutoConfig

    return _load(AutoConfig, "config", name, trust_remote_code, options)


def load_model(name: str, *, trust_remote_code: bool = False, **options: Any) -> Any:
    """Load a transformers causal language model.

    Contradictory values of its generation config, which transformers would refuse to save, are left out and
    named in a warning.

    Args:
        name: Folder (``~`` is expanded) or hub name.
        trust_remote_code: Whether code that comes with it may run.
        **options: Further arguments of ``AutoModelForCausalLM.from_pretrained``.

    Raises:
        TokenizerError: There is no model, its files are damaged, it needs code that is not trusted, or
            weights are missing, which transformers would draw at random.
    """
    from transformers import AutoModelForCausalLM

    asked = {**options, "output_loading_info": True}
    model, told = _load(AutoModelForCausalLM, "model", name, trust_remote_code, asked)
    _refuse_missing(name, told["missing_keys"])
    _mend_generation_config(model, name)
    return model


def load_token_classifier(
    name: str, *, new_head: bool = False, trust_remote_code: bool = False, **options: Any
) -> Any:
    """Load a transformers token classifier.

    Args:
        name: Folder (``~`` is expanded) or hub name.
        new_head: Whether ``name`` is a language model, whose trunk gets a randomly drawn head.
        trust_remote_code: Whether code that comes with it may run.
        **options: Further arguments of ``AutoModelForTokenClassification.from_pretrained``.

    Raises:
        TokenizerError: The model is refused by :func:`load_model`, or transformers has no token classifier of
            its kind.
    """
    from transformers import AutoModelForTokenClassification

    asked = {**options, "output_loading_info": True}
    model, told = _load(AutoModelForTokenClassification, "token classifier", name, trust_remote_code, asked)
    of_trunk = [key for key in told["missing_keys"] if key.startswith(f"{model.base_model_prefix}.")]
    _refuse_missing(name, of_trunk if new_head else told["missing_keys"])
    return model


def _refuse_missing(name: str, keys: Collection[str]) -> None:
    missing = sorted(keys)
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise TokenizerError(
            f"{name!r} lacks {len(missing)} of its model's weights ({shown}).",
            "Give a folder with all files of the model.",
        )


def load_generation_config(name: str) -> Any | None:
    """Load a model's generation config, None if it has none.

    Args:
        name: Folder (``~`` is expanded) or hub name.

    Raises:
        TokenizerError: The config cannot be read.
    """
    from transformers import GenerationConfig

    path = _path(name)
    try:
        return GenerationConfig.from_pretrained(path)
    except OSError as error:
        if not (Path(path) / "generation_config.json").exists():
            return None
        raise _unreadable("generation config", name, error) from error
    except Exception as error:
        raise _unreadable("generation config", name, error) from error


def on_accelerator(model: Any) -> Any:
    """Move a model to the accelerator of this host, if there is one, and return it.

    Code that samples from the model or trains it uses the model's device.
    """
    import torch

    # What torch was built for may not be there.
    if not torch.accelerator.is_available():
        return model
    return model.to(torch.accelerator.current_accelerator())


def _load(loader: Any, what: str, name: str, trust: bool, options: dict[str, Any]) -> Any:
    path = Path(name).expanduser()
    if not name.strip() or path.is_file():
        problem = "is a file" if name.strip() else "is no name"
        raise TokenizerError(f"{name!r} {problem}, and a {what} is a folder.", LOADABLE)
    try:
        # Said, so that transformers never asks.
        return loader.from_pretrained(_path(name), trust_remote_code=trust, **options)
    # Damaged files make transformers, tokenizers and safetensors raise whatever they stumble over.
    except Exception as error:
        raise _unreadable(what, name, error) from error


def _path(name: str) -> str:
    folder = Path(name).expanduser()
    return str(folder) if folder.exists() else name


def _unreadable(what: str, name: str, error: Exception) -> TokenizerError:
    if "trust_remote_code" in str(error):
        return TokenizerError(
            f"The {what} of {name!r} brings code of its own, which runs only where it is trusted.",
            f"Read that code, then give {TRUST} (in verl: trust_remote_code=True of the model).",
        )
    lines = str(error).strip().splitlines()
    plain = isinstance(error, (OSError, ValueError))
    cause = lines[0] if lines and plain else f"{type(error).__name__}: {lines[0] if lines else 'no reason'}"
    return TokenizerError(f"No {what} can be loaded from {name!r} ({cause}).", LOADABLE)


def _mend_generation_config(model: Any, name: str) -> None:
    """Leave out what transformers, ignoring it, refuses to save."""
    config = getattr(model, "generation_config", None)
    if config is None or _savable(config):
        return
    given, default = config.to_diff_dict(), type(config)()
    for key in given:
        setattr(config, key, getattr(default, key, None))
    dropped = {}
    # What a value is ignored beside comes first, and stays.
    for key in sorted(given, key=lambda key: key not in GENERATION_MODES):
        setattr(config, key, given[key])
        if not _savable(config):
            setattr(config, key, getattr(default, key, None))
            dropped[key] = given[key]
    told = ", ".join(f"{key}={value}" for key, value in dropped.items())
    logger.warning(
        "halluc: transformers saves no generation config that contradicts itself, as that of %s does: %s is "
        "left out, which its decoding ignores beside the rest.", name, told,
    )  # fmt: skip


def _savable(config: Any) -> bool:
    try:
        config.validate(strict=True)
    except (ValueError, TypeError):
        return False
    return True


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save a tokenizer next to its model, and check that it loads unchanged.

    transformers chooses a tokenizer's class by the model's type for some models, whatever was saved.

    Args:
        tokenizer: The tokenizer.
        folder: The folder of the model's ``config.json``.

    Raises:
        TokenizerError: Loaded from ``folder``, the tokenizer gives other ids.
    """
    tokenizer.save_pretrained(folder)
    # One that runs trusted code was trusted already.
    loaded = load_tokenizer(str(folder), trust_remote_code="auto_map" in tokenizer.init_kwargs)
    same = loaded.get_vocab() == tokenizer.get_vocab()
    if not same or loaded.encode(PROBE) != tokenizer.encode(PROBE):
        raise TokenizerError(
            f"The tokenizer saved in {folder} is loaded as a {type(loaded).__name__}, with other ids than "
            f"the {type(tokenizer).__name__} in use.",
            "Use a model type whose tokenizer class transformers does not replace, or that class itself.",
        )
