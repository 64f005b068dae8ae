"""Read what a plan needs of a model from its config: numbers of parameters, widths, positions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.planning.live_bytes import Attending, LayerBytes, count_layers, layers_of
from halluc_plugin.tokens.loading import load_config


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a causal language model, of which no number is loaded.

    Attributes:
        name: Folder or name, as it was given.
        kind: transformers' name of its kind.
        config: Its config.
        parameters: Number of parameters; tied ones count once.
        of_a_layer: Number of parameters of the largest layer.
        largest: Number of parameters of the largest weight.
        linear: The widths (in, out) of every linear layer of the body, for low-rank updates.
        layers: Number of layers.
        hidden: Width of the hidden states, D.
        rows: Number of rows of the head, V.
        tied: Whether head and embedding are one weight.
        heads: Number of attention heads.
        kv_heads: Number of heads of keys and values.
        head_dim: Width of a head.
        positions: Number of positions that the model has.
    """

    name: str
    kind: str
    config: Any = field(repr=False, compare=False)
    parameters: int
    of_a_layer: int
    largest: int
    linear: tuple[tuple[int, int], ...] = field(repr=False)
    layers: int
    hidden: int
    rows: int
    tied: bool
    heads: int
    kv_heads: int
    head_dim: int
    positions: int
    _counted: dict[tuple[Any, ...], LayerBytes] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, config: Any, name: str = "") -> "ModelShape":
        """Return the shape of a model that is built from its config on the ``meta`` device.

        Args:
            config: A transformers config.
            name: What to call it.

        Raises:
            SettingsError: transformers has no causal language model for the config.
        """
        causal, text = _on_meta(config, torch.float32), config.get_text_config()
        body = getattr(causal, causal.base_model_prefix)
        sizes = [weight.numel() for weight in causal.parameters()]
        linear = (part for part in body.modules() if isinstance(part, torch.nn.Linear))
        heads = text.num_attention_heads
        return cls(
            name=name or text.model_type, kind=config.model_type, config=config, parameters=sum(sizes),
            of_a_layer=max(sum(w.numel() for w in layer.parameters()) for layer in layers_of(body)),
            largest=max(sizes), linear=tuple((part.in_features, part.out_features) for part in linear),
            layers=text.num_hidden_layers, hidden=text.hidden_size,
            rows=len(causal.get_output_embeddings().weight),
            tied=causal.get_output_embeddings().weight is causal.get_input_embeddings().weight,
            heads=heads, kv_heads=getattr(text, "num_key_value_heads", None) or heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
            positions=text.max_position_embeddings,
        )  # fmt: skip

    @property
    def head(self) -> int:
        """The number of parameters of the head, V x D."""
        return self.rows * self.hidden

    def low_rank(self, rank: int) -> int:
        """Return the number of parameters of low-rank updates of every linear layer of the body.

        LoRA (Hu et al. 2021, arXiv 2106.09685): A of [rank, in] and B of [out, rank].
        """
        return sum(rank * (wide_in + wide_out) for wide_in, wide_out in self.linear)

    def layer_bytes(self, tokens: int, dtype: torch.dtype, attending: Attending) -> LayerBytes:
        """Return what the layers hold in a pass over packed tokens.

        Args:
            tokens: The number of tokens.
            dtype: What the layers compute in.
            attending: How their attention is computed.

        Raises:
            SettingsError: The model cannot be counted.
        """
        asked = (tokens, dtype, attending)
        if asked not in self._counted:
            self._counted[asked] = count_layers(_on_meta(self.config, dtype), tokens, attending)
        return self._counted[asked]


def read_shape(name: str, *, trust_remote_code: bool = False) -> ModelShape:
    """Return the shape of a model that lies on this machine; nothing is downloaded, and no weight is read.

    Args:
        name: A folder that has a ``config.json``, or a name in Hugging Face's cache.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        SettingsError: There is no such model here, its config is of no causal language model, or sizes are
            missing.
    """
    try:
        config = load_config(name, trust_remote_code=trust_remote_code, local_files_only=True)
    except TokenizerError as error:
        here = (Path(name).expanduser() / "config.json").exists()
        if here or "trusted" in error.cause:
            raise SettingsError(error.cause, error.fix) from error
        raise SettingsError(
            f"There is no model {name!r} here: no folder with a config.json, and nothing in Hugging Face's "
            "cache.",
            "Give a folder, or fetch the config first: `hf download NAME config.json`.",
        ) from error
    return ModelShape.of(config, name)


def _on_meta(config: Any, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    own = type(config).from_dict(config.to_dict())
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(own, dtype=dtype)
    except (ValueError, AttributeError, TypeError, ZeroDivisionError) as error:
        raise SettingsError(
            f"No causal language model can be built from this config ({str(error).splitlines()[0]}).",
            "Give the config of a text model of transformers.",
        ) from error
