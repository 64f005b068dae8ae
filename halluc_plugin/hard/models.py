"""Decide which models can follow a tree: full attention, given positions, and a mask that is obeyed."""

import inspect
from enum import StrEnum
from typing import Any

from halluc_plugin.errors import SettingsError

FULL_ATTENTION = frozenset({"full_attention", "global"})
"""transformers' names of layers that see everything; GPT-Neo's are the older ones."""

ROBERTA_LIKE = frozenset(
    {"camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod"}
)
"""Kinds of models whose positions begin after the id of the padding token, and are not those that are
given."""


class Attention(StrEnum):
    """Implementations of attention (transformers' names) that take any mask."""

    SDPA = "sdpa"
    EAGER = "eager"
    FLEX = "flex_attention"


PACKED = "halluc_packed_"
"""Prefix of an implementation's name for its variant that also takes packed rows
(:mod:`.packed_attention`)."""


def attention_of(config: Any) -> Attention | None:
    """Return the attention implementation of a model, None if it cannot take any mask.

    The variants that also attend to packed rows count as the implementation that they extend.
    """
    name = str(config._attn_implementation).removeprefix(PACKED)  # noqa: SLF001 - transformers has no public name for it
    return Attention(name) if name in list(Attention) else None


IN_HARD_CONTEXT = ("follow hard context", "or context=soft")
IN_OUR_DECODER = (
    "be decoded here, in soft context either: the cache holds every token at its position",
    "or sample with vLLM",
)
"""What a model without full attention cannot do, and what to do instead."""


def require_full_attention(config: Any, cannot: tuple[str, str] = IN_HARD_CONTEXT) -> None:
    """Refuse a model in which nothing can be taken back exactly.

    Args:
        config: The model's transformers config.
        cannot: What the model is to do, and what may be done instead.

    Raises:
        SettingsError: A layer has a window, chunks or a recurrent state, positions do not count tokens, or
            positions mean something else in a longer sequence.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or getattr(text, "attention_layers", None) or [])
    others = sorted(kinds - FULL_ATTENTION)
    window = getattr(text, "sliding_window", None)
    model_class = _model_class(config)
    parameters = inspect.signature(model_class.forward).parameters if model_class else None
    refused = (
        # applies, what, what to do beside choosing another model
        (others, f"layers of kind {', '.join(others)}", ""),
        (
            not kinds and window,
            f"a sliding window of {window} tokens",
            "; if no sequence is longer, set the model's sliding_window to null",
        ),
        (getattr(model_class, "_is_stateful", False), "recurrent state", ""),
        (
            any("mrope_section" in rope for rope in _ropes(text)),
            "several dimensions of positions (mrope)",
            "",
        ),
        (
            any(map(_changes_with_length, _ropes(text))),
            "rotary positions that change in longer sequences (longrope)",
            "; if no sequence is longer than its original length, set long_factor to short_factor",
        ),
        (
            getattr(text, "alibi", False) or (parameters is not None and "position_ids" not in parameters),
            "positions that cannot be given",
            "",
        ),
        (text.model_type in ROBERTA_LIKE, "positions that begin behind its padding id", ""),
        (text.model_type == "ctrl", "attention that takes no mask of a tree", ""),
    )
    for applies, what, more in refused:
        if applies:
            raise SettingsError(
                f"A model with {what} cannot {cannot[0]}.",
                f"Use a text model with full attention in every layer, {cannot[1]}{more}.",
            )


def require_tree_attention(config: Any) -> Attention:
    """Refuse a model whose attention cannot follow a tree.

    Args:
        config: The model's transformers config, with the implementation it was loaded with.

    Returns:
        The attention implementation of the model.

    Raises:
        SettingsError: The model is refused by :func:`require_full_attention`, or its implementation takes
            causal masks only.
    """
    require_full_attention(config)
    attention = attention_of(config)
    if attention is None:
        name = config._attn_implementation  # noqa: SLF001 - as above
        raise SettingsError(
            f"The model runs {name}, which takes no tree mask.",
            f"Load it with attn_implementation={Attention.SDPA} ({', '.join(Attention)} can).",
        )
    return attention


def _model_class(config: Any) -> Any:
    """The causal language model of a config; None when its code is not transformers' own."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    return MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)


def _ropes(config: Any) -> list[dict[str, Any]]:
    """The parameters of rotary positions: one set, or one for each kind of layer."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    return nested or [parameters]


def _changes_with_length(rope: dict[str, Any]) -> bool:
    """Whether all positions turn otherwise once a sequence is long: one forward cannot be both then."""
    return rope.get("rope_type") == "longrope" and rope.get("long_factor") != rope.get("short_factor")
