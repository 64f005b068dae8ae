"""Sample transformers models in batches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.limits import require_room
from halluc_plugin.decoding.triggers import Trigger
from halluc_plugin.edits import Context, EditState
from halluc_plugin.sampling.states import End, Request, Sample, Space


class TrunkReader(Protocol):
    """The interface of a head on the policy's trunk, which values states while they are sampled."""

    def read(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return a value of each state, Float[R], from the trunk's last hidden states, Float[R, H]."""
        ...

    def keep(self, prefix: Sequence[int], ids: Sequence[int], values: Sequence[float]) -> None:
        """Take the values of a sample: behind the prefix, and behind each id, Float[T + 1]."""
        ...


class HFSampler:
    """A sampler of a transformers model.

    Args:
        model: A causal language model with full attention, in eval mode.
        space: The space in which searches take place.
        batch_size: Largest number of samples in a forward pass.
        seed: Seed of all samples.
        trigger: The settings by which a signal takes text back, in hard context; None for none.
    """

    def __init__(
        self,
        model: Any,
        space: Space,
        *,
        batch_size: int = 256,
        seed: int = 0,
        trigger: Trigger | None = None,
    ) -> None:
        self._model, self._space, self._batch_size, self._trigger = model, space, batch_size, trigger
        self._generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
        self._reader: TrunkReader | None = None

    @property
    def network(self) -> Any:
        """The model that is sampled."""
        return self._model

    def read_by(self, reader: TrunkReader) -> None:
        """Let a head on the model's trunk value all that is sampled from now on."""
        self._reader = reader

    def reseed(self, seed: int) -> None:
        """Restart the samples from another seed."""
        self._generator.manual_seed(seed)

    def sample(self, requests: Sequence[Request]) -> list[Sample]:
        """Return one sample for each request, in order.

        Raises:
            SettingsError: The model has too few positions for a request; nothing is sampled then.
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
        if self._trigger is not None:
            return self._erased(requests, self._trigger)
        decoding = Decoding(
            self._space.vocab,
            max_actions=max(request.max_tokens for request in requests),
            temperature=requests[0].temperature,
            budget=0 if self._space.edits_banned else None,
            eos_ids=requests[0].stop_ids,
        )
        prefixes = [request.prefix for request in requests]
        limits = [request.max_tokens for request in requests]
        traces = decode(
            self._model,
            prefixes,
            decoding,
            limits=limits,
            banned_first=[request.banned_first for request in requests],
            generator=self._generator,
            read=None if self._reader is None else self._reader.read,
        )
        if self._reader is not None:
            for trace, request in zip(traces, requests, strict=True):
                self._reader.keep(request.prefix, trace.ids[: request.max_tokens], trace.values)
        return [
            replace(
                sample_of(trace.ids, trace.logprobs, request, self._space),
                entropies=tuple(trace.entropies[: request.max_tokens]),
                edit_probs=tuple(trace.edit_probs[: request.max_tokens]),
            )
            for trace, request in zip(traces, requests, strict=True)
        ]

    def _erased(self, requests: Sequence[Request], trigger: Trigger) -> list[Sample]:
        """Samples of which a signal took some back."""
        space = self._space
        decoding = Decoding(
            space.vocab,
            max_actions=max(request.max_tokens for request in requests),
            context=Context.HARD,
            temperature=requests[0].temperature,
            tabu=space.tabu,
            eos_ids=requests[0].stop_ids - space.vocab.edit_ids,
            trigger=trigger,
            delimiters=space.delimiters,
        )
        traces = decode(
            self._model,
            [request.prefix for request in requests],
            decoding,
            limits=[request.max_tokens for request in requests],
            banned_first=[request.banned_first for request in requests],
            generator=self._generator,
        )
        return [
            erased_sample(trace.ids, trace.logprobs, request, space)
            for trace, request in zip(traces, requests, strict=True)
        ]


def _kind(request: Request) -> tuple[float, list[int], int]:
    return request.temperature, sorted(request.stop_ids), len(request.prefix)


def _same_kind(one: Request, other: Request) -> bool:
    return one.temperature == other.temperature and one.stop_ids == other.stop_ids


def sample_of(ids: Sequence[int], logprobs: Sequence[float], request: Request, space: Space) -> Sample:
    """Return the sample for a request, cut from the ids that an engine sampled.

    Both samplers make their samples by this function.

    Args:
        ids: The sampled ids.
        logprobs: Log-probability of each id, in nats.
        request: The request.
        space: The space in which it was sampled.
    """
    kept = tuple(ids[: request.max_tokens])
    end = space.end(kept[-1]) if kept[-1] in request.stop_ids else None
    return Sample(kept, tuple(logprobs[: len(kept)]), End.LENGTH if end is None else end)


def erased_sample(
    actions: Sequence[int], logprobs: Sequence[float], request: Request, space: Space
) -> Sample:
    """Return the sample that is left of a raw trace in which a signal took text back.

    Both samplers make such samples by this function.

    Args:
        actions: The raw trace, edits included.
        logprobs: Log-probability of each action, in nats; empty if it was not asked for.
        request: The request.
        space: The space in which it was sampled.
    """
    state, left, depths, erasures, behind_edit = EditState(space.vocab), list[int](), list[int](), 0, False
    for index, action in enumerate(actions):
        depths.append(state.depth)
        edit = action in space.vocab.edit_ids
        state.push(action)
        if edit:
            del left[state.depth :]
            erasures += not behind_edit
        else:
            left.append(index)
        behind_edit = edit
    ids = tuple(actions[index] for index in left)
    ended = bool(ids) and not behind_edit and ids[-1] in request.stop_ids
    end = (space.end(ids[-1]) if ended else None) or End.LENGTH
    kept = tuple(logprobs[index] for index in left) if logprobs else ()
    return Sample(ids, kept, end, depths=tuple(depths), erasures=erasures)
