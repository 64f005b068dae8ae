"""Read what a GGUF file says of its model, and make the tokenizer that it describes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.errors import HostVersionError, TokenizerError

ARCHITECTURES = frozenset({"llama"})
"""Architectures whose unpacked models were compared with the model that the file was made from."""
SPECIAL = 3
"""The kind of a control token in ``tokenizer.ggml.token_type``."""
UNQUANTISED = frozenset({"F32", "F16", "BF16"})


def _digits_then_bytes() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    return Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])


PRE_TOKENIZERS: Mapping[str, Callable[[], Any]] = {"smollm": _digits_then_bytes}
"""How text is cut before pairs are merged, by ``tokenizer.ggml.pre``. The entry for ``smollm`` was written
from memory of the tokenizer of SmolLM2 and of llama.cpp's expression for it."""


@dataclass(frozen=True)
class Described:
    """A GGUF file's own description of its model.

    Attributes:
        fields: The values of its header, by their names.
        kinds: Number of tensors by the name of their number type, such as ``Q4_1``.
    """

    fields: Mapping[str, Any]
    kinds: Mapping[str, int]

    @property
    def quantised(self) -> tuple[str, ...]:
        """The number types of fewer than 16 bits in the file, the most frequent first."""
        return tuple(sorted(self.kinds.keys() - UNQUANTISED, key=lambda kind: -self.kinds[kind]))


def read_described(path: Path) -> Described:
    """Read the header of a GGUF file, and make sure that the file is whole and of a known kind.

    Args:
        path: The file.

    Returns:
        The description of its model.

    Raises:
        HostVersionError: The package gguf is not installed.
        TokenizerError: The file is not a GGUF file or not whole, or its architecture or its tokenizer is not
            known.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise HostVersionError(
            f"GGUF files are read by the package gguf, which is not there ({error}).",
            "Run `pip install 'halluc[gguf]'`.",
        ) from error

    try:
        reader = GGUFReader(path)
    except Exception as error:  # the reader trips over whatever half a file leaves it
        raise TokenizerError(
            f"{path} is not a whole GGUF file ({' '.join(str(error).split())}).",
            "Download or install it again: a download that was cut off leaves half a file.",
        ) from error
    kinds: dict[str, int] = {}
    for tensor in reader.tensors:
        kinds[tensor.tensor_type.name] = kinds.get(tensor.tensor_type.name, 0) + 1
    described = Described({name: field.contents() for name, field in reader.fields.items()}, kinds)
    _refuse_other_kinds(path, described.fields)
    return described


def _refuse_other_kinds(path: Path, fields: Mapping[str, Any]) -> None:
    known = {
        "general.architecture": ARCHITECTURES,
        "tokenizer.ggml.model": frozenset({"gpt2"}),
        "tokenizer.ggml.pre": frozenset(PRE_TOKENIZERS),
    }
    for name, values in known.items():
        if fields.get(name) not in values:
            raise TokenizerError(
                f"{path} has {name} {fields.get(name)!r}, and what is unpacked exactly has "
                f"{', '.join(sorted(values))}.",
                "Give a file of such a model, or load the model in its Hugging Face form.",
            )


def make_tokenizer(described: Described) -> Any:
    """Make the transformers tokenizer that a GGUF file describes.

    transformers' own reader is not used for it: it (5.10) takes the first special token for the end of a
    text, cuts runs of digits and of spaces in another way, and turns some signs into spaces.

    Args:
        described: The file's description.

    Returns:
        A fast tokenizer with the file's special tokens and its chat template.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    fields = described.fields
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    backend = Tokenizer(BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    backend.pre_tokenizer = PRE_TOKENIZERS[fields["tokenizer.ggml.pre"]]()
    backend.decoder = ByteLevel()
    backend.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
            if kind == SPECIAL
        ]
    )
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids = {ours: fields.get(f"tokenizer.ggml.{theirs}_token_id") for ours, theirs in roles.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        model_max_length=int(fields[f"{fields['general.architecture']}.context_length"]),
        **{f"{role}_token": tokens[token_id] for role, token_id in ids.items() if token_id is not None},
    )
    tokenizer.chat_template = fields.get("tokenizer.chat_template")
    return tokenizer
