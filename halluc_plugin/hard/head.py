"""Compute logits only where an action reads them, and never all of them at once.

A model is called as usual, and everything happens inside that call. Sharded weights (FSDP2) are gathered
there, and as the results are outputs of the call, they are gathered in the backward pass, too. The model's
body runs once over the whole batch. What follows it in the model's own forward (head, bias, soft-cap,
scaling) then runs on the hidden states of the actions alone, in chunks, each of which is computed again in
the backward pass.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils.generic import ModelOutput

from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.hard.chunks import ChunkedHead, chunk_of
from halluc_plugin.hard.statistics import Reading, Statistic, read_logits

ACTIONS = "halluc_actions"
"""Name of the argument by which a model's forward is told which actions to read."""


@dataclass(frozen=True)
class ActionQuery:
    """The N actions of a batch to read, and how they were sampled.

    Attributes:
        index: Position of each action's logits in the flattened batch, Long[N].
        ids: The actions, Long[N].
        edit_ids: The ids of edit tokens.
        unknown: Function that returns which of V ids are not tokens and were never sampled; None for none.
        temperature: Sampling temperature of each action, Float[N]; None for 1.
        banned: Which actions were sampled while edits were banned, Bool[N]; None for none.
        wanted: The statistics to compute.
        chunk: Number of actions whose logits are held at once; None for as many as are fast.
    """

    index: torch.Tensor
    ids: torch.Tensor
    edit_ids: Collection[int] = ()
    unknown: Callable[[int], Collection[int]] | None = None
    temperature: torch.Tensor | None = None
    banned: torch.Tensor | None = None
    wanted: tuple[Statistic, ...] = (Statistic.LOG_PROB,)
    chunk: int | None = None

    def reading(self, rows: int) -> Reading:
        """Return the reading of these actions for a head with ``rows`` logits."""
        return Reading(
            self.ids,
            self.temperature,
            self.banned,
            tuple(token for token in sorted(self.edit_ids) if token < rows),
            tuple(self.unknown(rows)) if self.unknown else (),
            self.wanted,
        )


@dataclass
class ActionOutput(ModelOutput):
    """The output of a forward pass that was given a query: the wanted statistics, Float32[N] each."""

    log_prob: torch.Tensor | None = None
    entropy: torch.Tensor | None = None
    edit_mass: torch.Tensor | None = None
    normalizer: torch.Tensor | None = None
    squares: torch.Tensor | None = None


@contextmanager
def reading_actions(model: Any) -> Iterator[None]:
    """Let a model's forward take an :class:`ActionQuery` as :data:`ACTIONS` inside the block.

    With that argument the forward returns an :class:`ActionOutput`; without it the forward is unchanged.
    Gradients may be taken after the block.

    Args:
        model: A transformers causal language model, plain or wrapped (peft, FSDP2, DistributedDataParallel).

    Raises:
        SettingsError: The model's body cannot be told from its head.
    """
    causal = causal_model(model)
    stock = causal.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        query = kwargs.pop(ACTIONS, None)
        return stock(*args, **kwargs) if query is None else _read(causal, stock, query, args, kwargs)

    with _forward_is(causal, forward):
        yield


def causal_model(model: Any) -> Any:
    """Return the transformers model inside its wrappers.

    Raises:
        SettingsError: The wrappers hold no model whose body is a module of its own, or DataParallel copies
            it.
    """
    if isinstance(model, torch.nn.DataParallel):
        raise SettingsError(
            "Several accelerators in one process would each get a copy of the model.",
            "Start it with torchrun, or show one accelerator, e.g. by CUDA_VISIBLE_DEVICES=0.",
        )
    while True:
        if hasattr(model, "get_base_model"):  # peft
            model = model.get_base_model()
        elif isinstance(getattr(model, "module", None), torch.nn.Module):  # DistributedDataParallel
            model = model.module
        else:
            break
    if not isinstance(getattr(model, getattr(model, "base_model_prefix", ""), None), torch.nn.Module):
        raise SettingsError(
            f"{type(model).__name__} has no body (base_model_prefix) apart from its head.",
            "Use a causal language model of transformers.",
        )
    return model


def _read(
    causal: Any, stock: Callable[..., Any], query: ActionQuery, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ActionOutput:
    body = _Body.run(causal, stock, args, kwargs)
    rows, ids = body.rows, query.ids
    if len(ids) and int(ids.max()) >= rows:
        raise TokenizerError(
            f"An action has id {int(ids.max())}, but the model's head has {rows} rows.",
            "Give the tokenizer that the model was trained with, or add its tokens to the model: "
            "`halluc add-token --model MODEL --out FOLDER`.",
        )
    states = body.hidden.flatten(0, -2).index_select(0, query.index)
    chunk = chunk_of(rows, len(states), states.device, query.chunk)
    reading = query.reading(rows)
    head = causal.get_output_embeddings()
    post = None if body.bare else partial(_tail, causal, stock, states)
    if body.head_dtype is not None and not _learns(post, states, rows, body.head_dtype):
        dtype = body.head_dtype
        bias = None if head.bias is None else head.bias.to(dtype)
        columns = ChunkedHead(reading, chunk, post)(states.to(dtype), head.weight.to(dtype), bias)
    else:
        columns = _by_model(partial(_tail, causal, stock), reading, states, chunk)
    return ActionOutput(**{name.value: column for name, column in zip(query.wanted, columns, strict=True)})


def _learns(
    post: Callable[[torch.Tensor], torch.Tensor] | None, states: torch.Tensor, rows: int, dtype: torch.dtype
) -> bool:
    """Whether what follows the head has weights that are trained: a chunk's gradient would not reach them."""
    if post is None or not torch.is_grad_enabled():
        return False
    made: torch.Tensor = post(torch.zeros(1, rows, dtype=dtype, device=states.device))
    return made.requires_grad


def _by_model(
    tail: Callable[[torch.Tensor], torch.Tensor], reading: Reading, states: torch.Tensor, chunk: int
) -> tuple[torch.Tensor, ...]:
    """Read by the model's own head (low-rank updates, hooks), each chunk in a checkpoint of its own."""

    def some(states: torch.Tensor, start: int) -> tuple[torch.Tensor, ...]:
        part = reading.part(slice(start, start + len(states)))
        return tuple(read_logits(tail(states), part).values())

    if len(states) <= chunk:
        return some(states, 0)
    again = partial(checkpoint, some, use_reentrant=False) if torch.is_grad_enabled() else some
    parts = [again(piece, number * chunk) for number, piece in enumerate(states.split(chunk))]
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


@dataclass(frozen=True)
class _Body:
    """What a model's body made of a batch, and how its head goes on.

    Attributes:
        hidden: Float[B, S, D], of all positions.
        rows: V, how many logits the head makes of each.
        head_dtype: What the head computes in, if it is a plain linear layer that takes the hidden states as
            they are; None if it is more than that.
        bare: Whether its output is the logits.
    """

    hidden: torch.Tensor
    rows: int
    head_dtype: torch.dtype | None
    bare: bool

    @classmethod
    def run(
        cls, causal: Any, stock: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> "_Body":
        """Run the model's own forward, its head on a single position."""
        seen: list[torch.Tensor] = []
        into: list[tuple[torch.Tensor, torch.dtype]] = []
        out: list[tuple[torch.Tensor, int]] = []

        def keep_one(module: Any, inputs: Any, output: Any) -> Any:  # noqa: ARG001 - torch's interface
            seen.append(output[0])
            if isinstance(output, tuple):
                return (output[0][:, :1], *output[1:])
            output["last_hidden_state"] = output[0][:, :1]
            return output

        def look(module: Any, inputs: Any, output: Any) -> None:  # noqa: ARG001 - torch's interface
            into.append((inputs[0], output.dtype))
            out.append((output, output._version))  # noqa: SLF001 - torch has no public name for it

        head = causal.get_output_embeddings()
        plain = _is_plain(head)
        hooks = [getattr(causal, causal.base_model_prefix).register_forward_hook(keep_one)]
        if plain:
            hooks.append(head.register_forward_hook(look))
        try:
            logits = stock(*args, **kwargs).logits
        finally:
            for hook in hooks:
                hook.remove()
        if len(seen) != 1:
            raise SettingsError(
                f"{type(causal).__name__} calls its body {len(seen)} times in a forward.",
                "Use a causal language model of transformers.",
            )
        one = seen[0][:, :1]
        straight = plain and len(into) == 1 and _same(into[0][0], one)
        dtype = into[0][1] if straight else None
        bare = straight and _same(out[0][0], logits) and out[0][0]._version == out[0][1]  # noqa: SLF001 - as above
        return cls(seen[0], logits.shape[-1], dtype, bare)


def _is_plain(head: Any) -> bool:
    """Whether a head is a linear layer and nothing else."""
    if type(head) is not torch.nn.Linear or "forward" in vars(head) or type(head.weight) is DTensor:
        return False
    return not (head._forward_hooks or head._forward_pre_hooks or head._backward_hooks)  # noqa: SLF001 - torch keeps them there


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.dtype == other.dtype


def _tail(
    causal: Any, stock: Callable[..., Any], states: torch.Tensor, raw: torch.Tensor | None = None
) -> torch.Tensor:
    """What the model's own forward makes of hidden states (Float[N, D]) once its body is done: Float[N, V].

    With ``raw`` (Float[C, V]) that is taken for the output of the head.
    """
    parts: list[tuple[Any, Callable[..., Any]]] = []
    if raw is not None:
        given, states = raw[None], states[: len(raw)]
        parts.append((causal.get_output_embeddings(), lambda *_args, **_kwargs: given))
    output = BaseModelOutputWithPast(last_hidden_state=states[None])
    parts.append((getattr(causal, causal.base_model_prefix), lambda *_args, **_kwargs: output))
    ids = torch.zeros(1, len(states), dtype=torch.long, device=states.device)
    with ExitStack() as stack:
        for module, forward in parts:
            stack.enter_context(_forward_is(module, forward))
        logits: torch.Tensor = stock(input_ids=ids, use_cache=False).logits
    return logits[0]


@contextmanager
def _forward_is(module: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace a module's forward; afterwards it is as before."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
