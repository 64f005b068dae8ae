"""Read a linear head in chunks: logits are computed, read and dropped, and computed again in the backward.

Buffers of the size of a chunk's logits are allocated once for all chunks and both passes, and the gradient of
the weight is added up in one place, since fresh memory for each chunk takes longer than the arithmetic. What
the forward pass has left in them, the probabilities of the last chunk, the backward pass begins with.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from halluc_plugin.errors import SettingsError
from halluc_plugin.hard.statistics import Columns, Reading, named

LEAST_ON_CPU, MOST_ON_CPU = 64 * 2**20, 192 * 2**20
CHUNK_BYTES_ELSEWHERE = 2**30
"""Sizes in bytes of the logits (float32) that are held at once. A chunk's weight gradient has the size of the
head, so on an accelerator, with wide heads, larger chunks are faster."""

SLICE = 8192
"""Number of rows of the head whose gradient is computed at once if it is added up in another precision."""

COPIES = 4
"""Number of buffers of a chunk's size that exist at once: logits, probabilities, and two more for what a
model makes of its head's output and its gradient."""

Post = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class ChunkedHead:
    """A linear head that reads the hidden states of N actions in chunks.

    Attributes:
        reading: What is read of the logits of all N actions.
        rows: Number of actions in a chunk.
        post: The function that the model applies to the head's output; None if that output is the logits.
    """

    reading: Reading
    rows: int
    post: Post | None

    def __call__(
        self, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> tuple[torch.Tensor, ...]:
        """Return the statistics that are wanted, Float32[N] each.

        Args:
            states: Hidden states of the actions, Float[N, D].
            weight: Weight of the head, Float[V, D].
            bias: Bias of the head, Float[V], or None.
        """
        columns: tuple[torch.Tensor, ...] = _Chunked.apply(states, weight, bias, self)
        return columns

    def buffers(self, states: torch.Tensor, weight: torch.Tensor) -> "_Buffers":
        """Return the buffers of a chunk.

        Args:
            states: Hidden states of the actions, Float[N, D].
            weight: Weight of the head, Float[V, D].
        """
        rows = min(self.rows, max(1, len(states)))
        made, room = (torch.empty(rows, len(weight), dtype=torch.float32, device=states.device) for _ in "ab")
        return _Buffers(made, room, made if states.dtype == torch.float32 else made.to(states.dtype))

    def chunks(
        self, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, buffers: "_Buffers"
    ) -> Iterator["_Chunk"]:
        """Yield the chunks one after the other; all of them share the same buffers.

        Args:
            states: Hidden states of the actions, Float[N, D].
            weight: Weight of the head, Float[V, D].
            bias: Bias of the head, Float[V], or None.
            buffers: The buffers that :meth:`buffers` returned.
        """
        made, room, half = buffers
        rows = len(made)
        for first in range(0, len(states), rows):
            part = states[first : first + rows]
            raw, logits = half[: len(part)], made[: len(part)]
            if bias is None:
                torch.mm(part, weight.t(), out=raw)
            else:
                torch.addmm(bias, part, weight.t(), out=raw)
            graph, came = None, raw
            if self.post is not None:
                graph = raw.detach().requires_grad_()
                with torch.enable_grad():
                    came = self.post(graph)
            if came.data_ptr() != logits.data_ptr():
                logits.copy_(came.detach())
            some = slice(first, first + rows)
            reading = self.reading.part(some)
            reading.prepare(logits)
            yield _Chunk(some, part, reading, logits, room[: len(part)], graph, came)


class _Buffers(NamedTuple):
    """Room for a chunk of C actions.

    Attributes:
        made: Float32[C, V], for logits.
        room: Float32[C, V], for what is made of them.
        half: Float[C, V], for what the head gives; ``made`` if that is in single precision.
    """

    made: torch.Tensor
    room: torch.Tensor
    half: torch.Tensor


class _Chunk(NamedTuple):
    """One chunk of C of the actions.

    Attributes:
        some: Which of the actions.
        states: Float[C, D].
        reading: What is read of them.
        logits: Float32[C, V], prepared.
        room: Float32[C, V], a buffer.
        raw: Float[C, V], what the head gave, where the model makes something of it; otherwise None.
        came: Float[C, V], what it made of it.
    """

    some: slice
    states: torch.Tensor
    reading: Reading
    logits: torch.Tensor
    room: torch.Tensor
    raw: torch.Tensor | None
    came: torch.Tensor

    def add_gradients(
        self,
        to: tuple[torch.Tensor | None, ...],
        weight: torch.Tensor,
        given: Columns,
        *,
        known: bool = False,
    ) -> bool:
        """Add this chunk's gradients from the probabilities alone; return whether they are as simple as that.

        In half precision they are not: of an action that is nearly certain, δ - p would be rounded away.

        Args:
            to: Gradients of all states, of the weight, and of the bias; None where none is needed.
            weight: Weight of the head, Float[V, D].
            given: Gradients of what was read.
            known: Whether the probabilities are in the buffer ``room`` already.
        """
        factors = self.reading.factors({name: column[self.some] for name, column in given.items()})
        if factors is None or self.raw is not None or self.came.dtype != torch.float32:
            return False
        (of_p, of_action), ids = (each[:, None] for each in factors), self.reading.ids
        of_states, of_weight, of_bias = to
        p = self.room if known else torch.softmax(self.logits, -1, out=self.room)
        if of_states is not None:
            part = of_states[self.some]
            torch.mm(p, weight, out=part)
            part.mul_(of_p).addcmul_(weight.index_select(0, ids), of_action)
        if of_weight is not None:
            of_weight.addmm_(p.t(), self.states * of_p)
            of_weight.index_add_(0, ids, self.states * of_action)
        if of_bias is not None:
            of_bias.addmv_(p.t(), of_p[:, 0])
            of_bias.index_add_(0, ids, of_action[:, 0])
        return True

    def gradient_of_raw(self, found: Columns, given: Columns) -> torch.Tensor:
        """Float[C, V], the gradient of what the head gave, from gradients of what was read."""
        parts = ({name: column[self.some] for name, column in columns.items()} for columns in (found, given))
        of_logits = self.reading.gradient(self.logits, self.room, *parts).to(self.came.dtype)
        if self.raw is None:
            return of_logits
        return torch.autograd.grad(self.came, self.raw, of_logits)[0]


class _Chunked(torch.autograd.Function):
    """Kept are the states, the weight, what was read, and the buffers with the last chunk."""

    @staticmethod
    def forward(
        ctx: Any, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, head: ChunkedHead
    ) -> tuple[torch.Tensor, ...]:
        reading = head.reading
        columns = [states.new_empty(len(states), dtype=torch.float32) for _ in reading.wanted]
        buffers = head.buffers(states, weight)
        chunk = None
        for chunk in head.chunks(states, weight, bias, buffers):
            for column, value in zip(
                columns, chunk.reading.read(chunk.logits, chunk.room).values(), strict=True
            ):
                column[chunk.some] = value
        ctx.save_for_backward(states, weight, bias, *columns)
        ctx.head, ctx.buffers = head, buffers
        ctx.last = chunk if reading.simple else None
        ctx.set_materialize_grads(False)
        return tuple(columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        states, weight, bias, *columns = ctx.saved_tensors
        head: ChunkedHead = ctx.head
        wanted = head.reading.wanted
        found, given = named(wanted, columns), named(wanted, gradients)
        # Sums over chunks in half precision would lose what a chunk adds.
        several = len(states) > head.rows
        summed = torch.promote_types(states.dtype, torch.float32) if several else states.dtype
        of_states, of_weight, of_bias = (
            torch.zeros_like(x, dtype=dtype) if needed else None
            for x, needed, dtype in zip(
                (states, weight, bias),
                ctx.needs_input_grad[:3],
                (states.dtype, summed, summed),
                strict=True,
            )
        )
        to = of_states, of_weight, of_bias
        # Let go, so that they are gone while the model's body is passed back: this node lives on.
        buffers, last = ctx.buffers or head.buffers(states, weight), ctx.last
        ctx.buffers = ctx.last = None
        done = last is not None and last.add_gradients(to, weight, given, known=True)
        left = states[: last.some.start] if done else states
        for chunk in head.chunks(left, weight, bias, buffers):
            if chunk.add_gradients(to, weight, given):
                continue
            of_raw = chunk.gradient_of_raw(found, given).to(states.dtype)
            if of_states is not None:
                torch.mm(of_raw, weight, out=of_states[chunk.some])
            if of_weight is not None:
                _add_products(of_weight, of_raw, chunk.states)
            if of_bias is not None:
                of_bias.add_(of_raw.sum(0))
        of_weight, of_bias = (None if x is None else x.to(states.dtype) for x in (of_weight, of_bias))
        return of_states, of_weight, of_bias, None


def _add_products(of_weight: torch.Tensor, of_raw: torch.Tensor, states: torch.Tensor) -> None:
    """Add ``of_raw.T @ states``, in place, to sums that may be of a higher precision."""
    if of_weight.dtype == of_raw.dtype:
        of_weight.addmm_(of_raw.t(), states)
        return
    for sums, part in zip(of_weight.split(SLICE), of_raw.split(SLICE, 1), strict=True):
        sums.add_(part.t() @ states)


def chunk_bytes(device: str, logits: int) -> int:
    """Return the size in bytes of the logits that are held at once.

    On a CPU it is a sixth of all: what the last chunk leaves for the backward pass need not be made again.

    Args:
        device: The type of the device.
        logits: The size in bytes of all logits.
    """
    return min(max(LEAST_ON_CPU, logits // 6), MOST_ON_CPU) if device == "cpu" else CHUNK_BYTES_ELSEWHERE


def chunk_of(rows: int, actions: int, device: torch.device, asked: int | None) -> int:
    """Return how many actions' logits to hold at once.

    Args:
        rows: Number of rows of the model's head, V.
        actions: Number of actions, N.
        device: The device on which they are held.
        asked: The number that is asked for; None for as many as are fast and fit.

    Raises:
        SettingsError: As many as are asked for, or even a single one, do not fit into the free memory.
    """
    free = _free_bytes(device)
    if asked is None:
        room = chunk_bytes(device.type, 4 * rows * actions)
        chunk = max(1, (room if free is None else min(room, free // COPIES)) // (4 * rows))
    else:
        chunk = asked
    needed = chunk * rows * 4 * COPIES
    if chunk < 1 or (free is not None and needed > free):
        raise SettingsError(
            f"{chunk} actions at once, of {rows} logits each, need {needed / 2**20:.0f} MiB"
            + ("." if free is None else f"; {free / 2**20:.0f} MiB are free."),
            "Read fewer at once, at least 1 (in verl: actor.fsdp_config.entropy_from_logits_chunk_size), or "
            "use smaller micro-batches.",
        )
    return chunk


def _free_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    told = Path("/proc/meminfo")
    if device.type != "cpu" or not told.exists():
        return None
    (line,) = (x for x in told.read_text(encoding="utf-8").splitlines() if x.startswith("MemAvailable:"))
    return 1024 * int(line.split()[1])
