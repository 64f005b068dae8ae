"""Check the models of a run, by folder or hub name, before any worker starts."""

import warnings
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.edits import Context
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.settings import Settings

LARGE = 576
"""Hidden size from which on a model counts as a pretrained one; the embedded ones have at most 512."""
RATES = {"actor_rollout_ref.actor.optim.lr": 1e-4, "optim.lr": 1e-3}
"""Learning rates from which on large models are known to forget, for policy gradients and for fine-tuning."""


def expand_paths(block: DictConfig) -> None:
    """Expand ``~`` in the paths of a model, which neither verl nor transformers does.

    Args:
        block: The writable block with ``path`` and possibly ``tokenizer_path``.
    """
    for key in ("path", "tokenizer_path"):
        given = block.get(key)
        if given and str(given).startswith("~"):
            block[key] = str(Path(str(given)).expanduser())


def known_model(block: DictConfig) -> Any | None:
    """Return the transformers config of a model's text part, None if it cannot be read.

    The host then reports the error.
    """
    from halluc_plugin.tokens.loading import load_config

    try:
        trust = bool(block.get("trust_remote_code", False))
        return load_config(str(block.path), trust_remote_code=trust).get_text_config()
    except TokenizerError:
        return None


def check_models(config: DictConfig, settings: Settings, tokenizer: Any) -> None:
    """Refuse models that cannot do what the run asks of them.

    Args:
        config: verl's whole config, with real paths.
        settings: The settings of the run.
        tokenizer: The policy's tokenizer.

    Raises:
        SettingsError: The policy cannot follow hard context, or low-rank updates would leave an edit token
            untrained.
        TokenizerError: A teacher or a critic does not have the edit tokens that it would read.
    """
    model = config.actor_rollout_ref.model
    if settings.context is Context.HARD:
        require_rewindable(model)
    if config.actor_rollout_ref.rollout.agent.default_agent_loop != "backtrack":
        return
    require_learnable_tokens(model, tokenizer, "actor_rollout_ref.model")
    _require_readers(config, tokenizer)


def require_rewindable(block: DictConfig) -> None:
    """Refuse a model in which nothing can be taken back exactly.

    Args:
        block: The block of the host's config with the model's path and overrides.

    Raises:
        SettingsError: The model is refused by :func:`halluc_plugin.hard.require_full_attention`.
    """
    from halluc_plugin.hard import require_full_attention

    model = known_model(block)
    if model is None:
        return
    for key, value in (block.get("override_config") or {}).items():
        if hasattr(model, key):
            setattr(model, key, value)
    require_full_attention(model)


def require_learnable_tokens(block: DictConfig, tokenizer: Any, path: str) -> None:
    """Refuse low-rank updates of a model whose edit tokens are untrained, as their rows would stay so.

    Args:
        block: The block of the host's config with the model's path and its low-rank updates.
        tokenizer: The model's tokenizer.
        path: Key of the block.

    Raises:
        SettingsError: The edit tokens are untrained, and the updates do not reach their rows.
    """
    from halluc_plugin.tokens.untouched import untouched_tokens

    lora = block.get("lora") or {}
    low_rank = block.get("lora_rank", 0) or lora.get("rank", 0) or block.get("lora_adapter_path")
    targets = block.get("target_modules") or ""
    named = [targets] if isinstance(targets, str) else list(targets)
    if not low_rank or any("head" in name or "embed" in name for name in named):
        return
    untouched = untouched_tokens(
        Path(str(block.path)), tokenizer, trust_remote_code=bool(block.get("trust_remote_code", False))
    )
    if untouched:
        raise SettingsError(
            f"Low-rank updates ({path}.lora_rank) leave the rows of {', '.join(untouched)} as they are, and "
            f"those of {block.path} are as `halluc add-token` wrote them: the token would never be learned.",
            "Start from a model fine-tuned on traces (`halluc train --low-rank 8` trains these rows too), or "
            f"train all weights ({path}.lora_rank=0).",
        )


def _require_readers(config: DictConfig, tokenizer: Any) -> None:
    """Refuse a teacher or a critic that does not know what it would be given to read."""
    from halluc_plugin.tokens import EDIT_TOKENS
    from halluc_plugin.tokens.loading import load_tokenizer

    ids = {token: number for token, number in tokenizer.get_vocab().items() if token in EDIT_TOKENS}
    readers = []
    if config.distillation.enabled:
        teachers = config.distillation.teacher_models.values()
        readers += [("teacher", str(teacher.model_path)) for teacher in teachers if teacher.get("model_path")]
    if config.critic.enable or (config.critic.enable is None and config.algorithm.adv_estimator == "gae"):
        readers.append(("critic", str(config.critic.model.path)))
    for who, name in readers:
        known = load_tokenizer(name).get_vocab()
        missing = [token for token, number in ids.items() if known.get(token) != number]
        if missing:
            raise TokenizerError(
                f"The {who} {name} reads raw traces and does not know {', '.join(missing)} by the policy's "
                "id.",
                f"Add it with `halluc add-token`, and fine-tune the {who} on traces.",
            )


def warn_of_rate(config: DictConfig, *, model: str, rate: str, usual: str) -> None:
    """Warn if a large model is trained with the learning rate of the embedded small one, or a larger rate.

    There is no warning for low-rank updates, which need larger rates.

    Args:
        config: The composed config.
        model: Key of the block that holds the model's path.
        rate: Key of the learning rate.
        usual: The usual rate for models of a billion parameters, in words.
    """
    block, given = OmegaConf.select(config, model), float(OmegaConf.select(config, rate))
    width = getattr(known_model(block), "hidden_size", 0)
    if width >= LARGE and given >= RATES[rate] and not block.get("lora_rank", 0):
        warnings.warn(
            f"{rate}={given:g} suits models of a few million parameters, and {block.path} is larger (hidden "
            f"size {width}): it would lose what it has learned. Set {rate}={usual}, for example.",
            stacklevel=2,
        )
