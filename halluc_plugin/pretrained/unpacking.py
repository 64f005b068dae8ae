"""Unpack a GGUF file into a Hugging Face folder below ``HALLUC_HOME``."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.cache import load_or_build
from halluc_plugin.errors import TokenizerError
from halluc_plugin.pretrained.gguf_files import Described, make_tokenizer, read_described
from halluc_plugin.tokens.loading import save_tokenizer


@dataclass(frozen=True)
class Unpacked:
    """A model that was unpacked.

    Attributes:
        folder: The Hugging Face folder.
        quantised: The number types of fewer than 16 bits that were in the file, from which the weights were
            made float32 again ("dequantised"); empty for none.
    """

    folder: Path
    quantised: tuple[str, ...]


def unpack(file: Path, name: str) -> Unpacked:
    """Return the folder of a GGUF file's model; it is made if it does not exist or is damaged.

    The folder holds float32 weights, the tokenizer with its chat template, and configs. It appears when it is
    complete, and is made anew if the file has changed.

    Args:
        file: The file.
        name: Name of the model, with which the folder's name begins.

    Raises:
        HostVersionError: The package gguf is not installed.
        TokenizerError: The file is refused by
            :func:`~halluc_plugin.pretrained.gguf_files.read_described`, or its weights by transformers.
        SettingsError: ``HALLUC_HOME`` cannot be written to, or its disk is full.
    """
    described = read_described(file)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    folder = load_or_build(
        f"model-{name}", {"sha256": digest}, lambda partial: _write(file, described, name, partial)
    )
    return Unpacked(folder, described.quantised)


def _write(file: Path, described: Described, name: str, folder: Path) -> None:
    tokenizer = make_tokenizer(described)
    model = _dequantised(file)
    for ours, theirs in {"bos": "bos", "eos": "eos", "pad": "padding"}.items():
        token_id = described.fields.get(f"tokenizer.ggml.{theirs}_token_id")
        for config in (model.config, model.generation_config):
            setattr(config, f"{ours}_token_id", None if token_id is None else int(token_id))
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    (folder / "README.md").write_text(_card(described, name), encoding="utf-8")


def _dequantised(file: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    except Exception as error:
        raise TokenizerError(
            f"transformers cannot read the weights of {file} ({' '.join(str(error).split())}).",
            "Install the file again, or another version of transformers or gguf.",
        ) from error


def _card(described: Described, name: str) -> str:
    fields = described.fields
    license_name = fields.get("general.license")
    head = f"---\nlicense: {license_name}\n---\n\n" if license_name else ""
    whose = f" by {fields['general.organization']}" if "general.organization" in fields else ""
    kinds = ", ".join(described.quantised)
    weights = (
        f"Its weights are dequantised: they were rounded to few bits ({kinds}) and are float32 again, so "
        "they are not those of the original model."
        if kinds
        else "Its weights are those of the file, in float32."
    )
    return (
        f"{head}# {name}\n\nUnpacked by halluc from a GGUF file of "
        f"{fields.get('general.name', name)}{whose}.\n{weights}\n"
    )
