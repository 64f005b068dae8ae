"""Read what a model tells at each token of live texts: entropy, margin, P(edit), and a hidden state."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.decoding.signals import text_signal
from halluc_plugin.decoding.triggers import TextSignal
from halluc_plugin.decoding.watching import shift
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError


@dataclass(frozen=True)
class TokenSignals:
    """The signals at each of the T tokens of a text.

    Attributes:
        entropy: Entropy of the text token that was to come where each token came, in nats, Float[T].
        margin: Minus the margin of the same distribution, Float[T].
        edit: Probability of an edit behind each token, Float[T].
        hidden: The hidden state at each token, Float[T, H].
        phase_shift: Minus the cosine of a hidden state with that at the token before, Float[T].
        next_entropy: Entropy of the text token that is to come behind the last one, in nats.
        next_margin: Minus the margin of the same distribution.
    """

    entropy: torch.Tensor
    margin: torch.Tensor
    edit: torch.Tensor
    hidden: torch.Tensor
    phase_shift: torch.Tensor
    next_entropy: float
    next_margin: float


def checked_layer(model: Any, layer: int) -> int:
    """Return the index of a layer's output among a model's hidden states.

    Args:
        model: A transformers causal language model.
        layer: Number of the layer, 0 for the embeddings; negative ones count from the last layer, -1.

    Raises:
        SettingsError: The model has no such layer.
    """
    layers = int(model.config.get_text_config().num_hidden_layers)
    if not -layers - 1 <= layer <= layers:
        raise SettingsError(
            f"Layer {layer} is not there: the model has {layers} layers.",
            f"Give --layer from 0 (embeddings) to {layers}, or from -1 (the last one) down.",
        )
    return layer % (layers + 1)


@torch.no_grad()
def token_signals(
    model: Any,
    texts: Sequence[tuple[Sequence[int], Sequence[int]]],
    vocab: EditVocab,
    *,
    layer: int = -1,
    shift_layer: int = -1,
    batch_size: int = 32,
) -> Iterator[TokenSignals]:
    """Yield the signals of each text, in soft context of text without edits.

    Args:
        model: A transformers causal language model in eval mode.
        texts: Pairs of a prompt and a live text, as token ids, neither of them empty.
        vocab: The edit vocabulary of the ids.
        layer: Number of the layer whose output is read (:func:`checked_layer`).
        shift_layer: Number of the layer whose states are compared with those before them.
        batch_size: Number of texts in a forward pass.

    Yields:
        The signals of each text, in order, on the CPU in float32.

    Raises:
        SettingsError: The layer is not there.
    """
    index, shifted = checked_layer(model, layer), checked_layer(model, shift_layer)
    rows = model.config.get_text_config().vocab_size
    unknown = frozenset(vocab.unknown_ids(rows))
    edits = sorted(token for token in vocab.edit_ids - unknown if token < rows)
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        width = max(len(prompt) + len(text) for prompt, text in batch)
        # Right padding: no query before it sees it.
        padded = [[*prompt, *text, *[0] * (width - len(prompt) - len(text))] for prompt, text in batch]
        output = model(
            input_ids=torch.tensor(padded, device=model.device), use_cache=False, output_hidden_states=True
        )
        for row, (prompt, text) in enumerate(batch):
            first, end = len(prompt), len(prompt) + len(text)
            logits = output.logits[row, first - 1 : end].float()
            entropy, margin = (
                text_signal(logits, signal, vocab.edit_ids | unknown).cpu()
                for signal in (TextSignal.ENTROPY, TextSignal.MARGIN)
            )
            behind = logits[1:]
            if unknown:
                behind[:, sorted(unknown)] = -torch.inf
            states = output.hidden_states[shifted][row, first - 1 : end]
            yield TokenSignals(
                entropy[:-1],
                margin[:-1],
                behind.softmax(-1)[:, edits].sum(-1).clamp(max=1.0).cpu(),
                output.hidden_states[index][row, first:end].float().cpu(),
                shift(states[:-1], states[1:]).cpu(),
                float(entropy[-1]),
                float(margin[-1]),
            )
