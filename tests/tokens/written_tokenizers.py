"""Small tokenizers of the two kinds that pretrained models have."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

CHATS = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}<s>system: be kind\n{% endif %}"
    "<s>{{ m['role'] }}: {{ m['content'] }}</s>\n{% endfor %}{% if add_generation_prompt %}<s>assistant: "
    "{% endif %}"
)
"""A template with a system turn of its own where none is given, as SmolLM2's and Qwen2.5's."""


def byte_level(size):
    """A byte-level BPE as of GPT-2, Qwen and SmolLM: merges make words and a Chinese character."""
    words = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    han = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("漢")[0][0]
    merges = [(han[0], han[1]), (han[:2], han[2]), ("c", "a"), ("ca", "t"), ("Ġ", "cat"), ("Ċ", "Ċ")]
    words += ["".join(pair) for pair in merges]
    words += [f"filler{number}" for number in range(size - len(words))]
    backend = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return _with_ends(backend)


def sentencepiece(size):
    """A BPE with a sign for the space and bytes for the rest, as of Llama 2, Mistral and Gemma."""
    words = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"abcdefghijklmnopqrst",
    ]
    merges = [("c", "a"), ("ca", "t"), ("▁", "cat"), ("▁", "a")]
    words += ["".join(pair) for pair in merges]
    words += [f"filler{number}" for number in range(size - len(words))]
    vocab = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=merges, byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )  # fmt: skip
    return _with_ends(backend)


def _with_ends(backend):
    backend.add_special_tokens(["<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=CHATS,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
