"""Samples, beams and scores of transformers models."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessor

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.limits import require_room
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.hard import without_unknown
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.search.driver import Cost, Found
from halluc_plugin.search.states import End, Request, Response, Sample, Space
from halluc_plugin.tokens.loading import load_model, load_tokenizer, on_accelerator

_SIZES = (
    "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "num_hidden_layers",
)  # fmt: skip


class HFSampler:
    """Samples from a transformers model, batched.

    Args:
        model: A causal language model with full attention, in eval mode.
        space: Where searches take place.
        batch_size: Most samples in a forward pass.
        seed: Of all samples.
    """

    def __init__(self, model: Any, space: Space, *, batch_size: int = 256, seed: int = 0) -> None:
        self._model, self._space, self._batch_size = model, space, batch_size
        self._generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)

    def reseed(self, seed: int) -> None:
        """Begin the samples anew, from another seed."""
        self._generator.manual_seed(seed)

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """One sample for each request.

        Raises:
            SettingsError: The model has no positions for one of them; nothing is sampled then.
            TokenizerError: The model has no row for an edit token.
        """
        require_room(
            self._model.config, (request.prefix for request in requests), (r.max_tokens for r in requests)
        )
        # Requests of one kind and of near lengths share a batch.
        order = sorted(range(len(requests)), key=lambda i: _kind(requests[i]))
        samples: dict[int, Sample] = {}
        while order:
            first = requests[order[0]]
            same = [i for i in order if _same_kind(requests[i], first)][: self._batch_size]
            samples.update(zip(same, self._batch([requests[i] for i in same]), strict=True))
            order = [i for i in order if i not in samples]
        return [samples[i] for i in range(len(requests))]

    def _batch(self, requests: Sequence[Request]) -> list[Sample]:
        decoding = Decoding(
            self._space.vocab,
            max_actions=max(request.max_tokens for request in requests),
            temperature=requests[0].temperature,
            budget=0 if self._space.edits_banned else None,
            eos_ids=requests[0].stop_ids,
        )
        prefixes = [request.prefix for request in requests]
        limits = [request.max_tokens for request in requests]
        traces = decode(self._model, prefixes, decoding, limits=limits, generator=self._generator)
        return [
            sample_of(trace.ids, trace.logprobs, request, self._space)
            for trace, request in zip(traces, requests, strict=True)
        ]


def _kind(request: Request) -> tuple[float, list[int], int]:
    return request.temperature, sorted(request.stop_ids), len(request.prefix)


def _same_kind(one: Request, other: Request) -> bool:
    return one.temperature == other.temperature and one.stop_ids == other.stop_ids


def sample_of(ids: Sequence[int], logprobs: Sequence[float], request: Request, space: Space) -> Sample:
    """What an engine sampled, cut to what was asked for; both samplers make their samples here."""
    kept = tuple(ids[: request.max_tokens])
    end = space.end(kept[-1]) if kept[-1] in request.stop_ids else None
    return Sample(kept, tuple(logprobs[: len(kept)]), End.LENGTH if end is None else end)


@torch.no_grad()
def beam_search(model: Any, prompts: Sequence[tuple[int, ...]], space: Space, beams: int) -> list[Found]:
    """Beam search, by transformers. It knows no edits: a beam that an edit token ends is dropped.

    Args:
        model: A causal language model in eval mode.
        prompts: Prompts, searched one after the other.
        space: Where to search; the temperature is not used.
        beams: Number of beams.

    Returns:
        The finished beams of each prompt, best first, each action's log-prob the model's own. A step of
        beam search computes all beams, and is paid for.

    Raises:
        SettingsError: The model has no positions for an answer.
    """
    require_room(model.config, prompts, space.max_tokens)
    unknown = space.vocab.unknown_ids(model.config.get_text_config().vocab_size)
    found = []
    for prompt in prompts:
        steps = _StepCounter()
        with _without_own_config(model):
            output = model.generate(
                torch.tensor([prompt], device=model.device),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=model.device),
                generation_config=GenerationConfig(
                    num_beams=beams,
                    num_return_sequences=beams,
                    do_sample=False,
                    max_new_tokens=space.max_tokens,
                    eos_token_id=sorted(space.stop_ids()),
                    pad_token_id=min(space.eos_ids),
                    suppress_tokens=unknown or None,
                ),
                logits_processor=[steps],
            )
        cost = Cost()
        cost.prefill(len(prompt))
        for _ in range(beams):
            cost.add(len(prompt), steps.count)
        responses = []
        for row in output[:, len(prompt) :].tolist():
            length = next((at for at, token in enumerate(row, 1) if token in space.stop_ids()), len(row))
            if row[length - 1] in space.eos_ids:
                ids = tuple(row[:length])
                responses.append(Response(ids, log_probs(model, prompt, ids, space.vocab)))
        found.append(Found(responses, cost))
    return found


@contextmanager
def _without_own_config(model: Any) -> Iterator[None]:
    """Let ``generate`` do what it is told alone: a checkpoint's own config fills in whatever is not said."""
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


class _StepCounter(LogitsProcessor):
    """Counts the steps of a generation: those after the last beam that is returned are computed too."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
        self.count += 1
        return scores


class Says(StrEnum):
    """What a verifier model says of an answer."""

    LIKELIHOOD = "likelihood"
    """How likely it is: the mean log-probability of its tokens."""
    VERDICT = "verdict"
    """Whether it is right: see :mod:`halluc_plugin.search.verdicts`."""


class ModelScorer:
    """Scores responses by their mean log-probability under another model.

    Args:
        model: It, in eval mode, with the ids of the responses (:func:`load_verifier`).
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._shape = decoder_shape(self._model.config)

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> list[float]:
        """A score of each response."""
        found = (log_probs(self._model, prompt, response.ids) for response in responses)
        return [sum(scores) / len(scores) for scores in found]

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """What scoring costs: a forward pass over each response, the prompt once."""
        cost = Cost()
        cost.prefill(len(prompt))
        for response in responses:
            cost.add(len(prompt), len(response.ids))
        return cost.flops(self._shape)


def load_verifier(model: str, tokenizer: Any, *, trust_remote_code: bool = False) -> Any:
    """A model that judges responses, in eval mode.

    Args:
        model: Its folder or hub name.
        tokenizer: The tokenizer of the responses.
        trust_remote_code: Whether code that comes with it may run.

    Raises:
        TokenizerError: The model cannot be loaded, or has other ids.
    """
    if fingerprint(load_tokenizer(model, trust_remote_code=trust_remote_code)) != fingerprint(tokenizer):
        raise TokenizerError(
            f"The verifier {model} has another tokenizer than the model that answers.",
            "Use a verifier with the same ids.",
        )
    return load_network(model, trust_remote_code=trust_remote_code)


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
