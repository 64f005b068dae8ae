"""Transformers models that answer or judge: loading them, what they say of a response, and their sizes."""

from collections.abc import Sequence
from typing import Any

import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import without_unknown
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.tokens.loading import load_model, on_accelerator

_SIZES = (
    "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "num_hidden_layers",
)  # fmt: skip


def load_network(model: str, *, trust_remote_code: bool = False) -> Any:
    """A model that answers or judges, in eval mode: on an accelerator in its own dtype, if there is one."""
    dtype = "auto" if torch.accelerator.is_available() else "float32"
    return on_accelerator(load_model(model, trust_remote_code=trust_remote_code, dtype=dtype).eval())


@torch.no_grad()
def log_probs(
    model: Any, prompt: Sequence[int], ids: Sequence[int], vocab: EditVocab | None = None
) -> tuple[float, ...]:
    """Log-probability of each id of a response, in nats, in one forward pass.

    Args:
        model: A causal language model in eval mode.
        prompt: What comes before the response.
        ids: The response.
        vocab: Which ids exist, where others cannot be sampled; None for all of the model's.
    """
    whole = torch.tensor([[*prompt, *ids]], device=model.device)
    logits = model(whole, attention_mask=torch.ones_like(whole)).logits[0, len(prompt) - 1 : -1].float()
    scores = torch.log_softmax(logits if vocab is None else without_unknown(logits, vocab), dim=-1)
    return tuple(scores.gather(1, whole[0, len(prompt) :, None]).squeeze(1).tolist())


def decoder_shape(config: Any) -> DecoderShape:
    """The sizes that costs are counted with, from a transformers config.

    Raises:
        SettingsError: It does not name one of them, as of older kinds of models, whose costs are others.
    """
    text = config.get_text_config()
    missing = [name for name in _SIZES if not isinstance(getattr(text, name, None), int)]
    if missing:
        raise SettingsError(
            f"The forward FLOPs of a model of type {text.model_type} are not known: its config has no "
            f"{', '.join(missing)}.",
            "Use a model whose config names them, such as Llama, Mistral or Qwen.",
        )
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return DecoderShape(
        hidden=text.hidden_size,
        kv=text.num_key_value_heads * head,
        intermediate=text.intermediate_size,
        layers=text.num_hidden_layers,
    )
