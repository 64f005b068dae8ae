"""What a run's own model is, from its folder or hub name, before any worker starts."""

import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

LARGE = 576
"""Hidden size from which on a model counts as a pretrained one; the embedded ones have at most 512."""
RATES = {"actor_rollout_ref.actor.optim.lr": 1e-4, "optim.lr": 1e-3}
"""Learning rates from which on large models are known to forget: of policy gradients, and of fine-tuning."""


def expand_paths(block: DictConfig) -> None:
    """Write out ``~`` in the paths of a model: neither verl nor transformers does.

    Args:
        block: The block with ``path`` and perhaps ``tokenizer_path``, writable.
    """
    for key in ("path", "tokenizer_path"):
        given = block.get(key)
        if given and str(given).startswith("~"):
            block[key] = str(Path(str(given)).expanduser())


def known_model(block: DictConfig) -> Any | None:
    """The transformers config of a model's text part, None where it cannot be read: the host says why."""
    from transformers import AutoConfig

    try:
        trust = bool(block.get("trust_remote_code", False))
        return AutoConfig.from_pretrained(str(block.path), trust_remote_code=trust).get_text_config()
    except (OSError, ValueError, ImportError):
        return None


def warn_of_rate(config: DictConfig, *, model: str, rate: str, usual: str) -> None:
    """Warn where the learning rate of the embedded small model, or a larger one, meets a large model.

    Low-rank updates, which take larger rates, are left alone.

    Args:
        config: The composed config.
        model: Key of the block that holds the model's path.
        rate: Key of the learning rate.
        usual: What models of a billion parameters are trained with.
    """
    block, given = OmegaConf.select(config, model), float(OmegaConf.select(config, rate))
    width = getattr(known_model(block), "hidden_size", 0)
    if width >= LARGE and given >= RATES[rate] and not block.get("lora_rank", 0):
        warnings.warn(
            f"{rate}={given:g} suits models of a few million parameters, and {block.path} is larger (hidden "
            f"size {width}): it would lose what it has learned. Set {rate}={usual}, for example.",
            stacklevel=2,
        )
