"""Load transformers models that answer or judge, and read their log-probabilities and sizes."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import without_unknown
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.tokens.loading import load_config, load_model, on_accelerator

_SIZES = (
    "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "num_hidden_layers",
)  # fmt: skip


def load_network(model: str, *, trust_remote_code: bool = False) -> Any:
    """Load a model that answers or judges, in eval mode.

    If there is an accelerator, the model is placed on it in its own dtype.

    Args:
        model: Model folder or hub name.
        trust_remote_code: Whether code that comes with the model may run.
    """
    dtype = "auto" if torch.accelerator.is_available() else "float32"
    return on_accelerator(load_model(model, trust_remote_code=trust_remote_code, dtype=dtype).eval())


def parameters_of(model: str, *, trust_remote_code: bool = False) -> int:
    """Return the number of parameters of a model, of which only the config is loaded.

    Args:
        model: Model folder or hub name.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        TokenizerError: The config cannot be loaded.
    """
    from transformers import AutoModelForCausalLM

    config = load_config(model, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def log_probs(
    model: Any, prompt: Sequence[int], ids: Sequence[int], vocab: EditVocab | None = None
) -> tuple[float, ...]:
    """Return the log-probability of each id of a response, in nats, in one forward pass.

    Args:
        model: A causal language model in eval mode.
        prompt: Token ids before the response.
        ids: Token ids of the response.
        vocab: The vocabulary that says which ids exist, if others cannot be sampled; None for all of the
            model's.
    """
    whole = torch.tensor([[*prompt, *ids]], device=model.device)
    logits = model(whole, attention_mask=torch.ones_like(whole)).logits[0, len(prompt) - 1 : -1].float()
    scores = torch.log_softmax(logits if vocab is None else without_unknown(logits, vocab), dim=-1)
    return tuple(scores.gather(1, whole[0, len(prompt) :, None]).squeeze(1).tolist())


def first_layers(network: Any, count: int) -> Any:
    """Return a model of the first layers of another, with its final norm and head, which shares its weights.

    Answers of such a model are drafts by early exit (M. Elhoushi et al., "LayerSkip", arXiv 2404.16710),
    better ones if the model was trained for it.

    Args:
        network: A transformers causal language model whose layers are counted by ``num_hidden_layers``.
        count: Number of layers, at least 1 and fewer than the model has.

    Raises:
        SettingsError: The count is out of range, or the model cannot be cut.
    """
    config = deepcopy(network.config)
    text = config.get_text_config()
    layers = text.num_hidden_layers
    if not 1 <= count < layers:
        raise SettingsError(
            f"The first {count} layers of a model with {layers} are to draft.", f"Give 1 to {layers - 1}."
        )
    text.num_hidden_layers = count
    if getattr(text, "layer_types", None) is not None:
        text.layer_types = text.layer_types[:count]
    draft = type(network)(config).to(network.device)
    weights = network.state_dict()
    missing = draft.state_dict().keys() - weights.keys()
    if missing:
        raise SettingsError(
            f"A model of type {text.model_type} cannot be cut after a layer: it has no {min(missing)}.",
            "Give --draft MODEL.",
        )
    draft.load_state_dict({name: weights[name] for name in draft.state_dict()}, assign=True)
    return draft.eval().requires_grad_(requires_grad=False)


def decoder_shape(config: Any) -> DecoderShape:
    """Return the sizes by which costs are counted, from a transformers config.

    Raises:
        SettingsError: The config does not name one of them, as for older kinds of models, which have other
            costs.
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
