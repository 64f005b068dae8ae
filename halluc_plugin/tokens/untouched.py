"""Check whether rows of edit tokens are still those they were added with, without loading the model."""

import json
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.tokens.initialisation import Initialisation, anchor_groups, mean_of_means
from halluc_plugin.tokens.loading import load_config
from halluc_plugin.tokens.vocabulary import EDIT_TOKENS, find

RECOGNISED = (Initialisation.MEAN, Initialisation.SEMANTIC)
"""The initialisations that can be recognised from the other rows; those that read a text or run a forward
pass cannot."""
ROUNDING = 4e-3
"""Relative rounding error of bfloat16."""


@torch.no_grad()
def untouched_tokens(folder: Path, tokenizer: Any, *, trust_remote_code: bool = False) -> tuple[str, ...]:
    """Return the edit tokens that nothing has trained since they were added.

    Args:
        folder: Folder of a model saved as safetensors.
        tokenizer: The model's tokenizer.
        trust_remote_code: Whether code that comes with the model may run.

    Returns:
        The texts of the tokens whose rows, in the input and in the output embedding, are the mean of the
        other rows or of words with their meaning (:data:`RECOGNISED`). Empty if there are no such files, or
        no such weights in them.

    Raises:
        TokenizerError: The config is damaged, or needs code that is not trusted.
    """
    ids = {token: found for token in EDIT_TOKENS if (found := find(tokenizer, token)) is not None}
    weights = _embeddings(folder, trust_remote_code=trust_remote_code)
    if not ids or not weights:
        return ()
    known = min(*ids.values(), *map(len, weights))
    return tuple(
        token
        for token, token_id in ids.items()
        if any(
            all(_is_row(weight, token_id, anchor_groups(tokenizer, token, how, known)) for weight in weights)
            for how in RECOGNISED
        )
    )


def _is_row(weight: torch.Tensor, token_id: int, groups: Any) -> bool:
    if token_id >= len(weight):
        return False
    row, first = weight[token_id].float(), mean_of_means(weight, groups).float()
    return bool((row - first).norm() <= ROUNDING * first.norm())


def _embeddings(folder: Path, *, trust_remote_code: bool) -> list[torch.Tensor]:
    """The input embedding and, where it has weights of its own, the output one; none if one is not found."""
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    files = _files(folder)
    if not files:
        return []
    config = load_config(str(folder), trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    wanted = {id(layer.weight) for layer in layers if layer is not None}
    names = [name for name, weight in model.named_parameters() if id(weight) in wanted]
    if not all(name in files for name in names):
        return []
    weights = []
    for name in names:
        with safe_open(files[name], framework="pt") as opened:
            weights.append(opened.get_tensor(name))
    return weights


def _files(folder: Path) -> dict[str, Path]:
    """Which file each tensor is in."""
    from safetensors import safe_open

    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if index.exists():
        names: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {name: folder / file for name, file in names.items()}
    if not single.exists():
        return {}
    with safe_open(single, framework="pt") as opened:
        return dict.fromkeys(opened.keys(), single)
