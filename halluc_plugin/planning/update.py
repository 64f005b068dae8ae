"""What a device holds while the policy is updated.

The largest of four moments counts, in a step and a micro-batch that are not the first: weights, gradients and
the optimizer's moments are there throughout. The moments are: reading the head, when all activations are
kept; the backward pass of the last layer; the end of that pass, when head and embedding get their gradients;
and the optimizer's step.
"""

from dataclasses import dataclass
from enum import StrEnum

import torch

from halluc_plugin.hard import chunks
from halluc_plugin.hard.packed import BLOCK
from halluc_plugin.planning.live_bytes import Attending, LayerBytes
from halluc_plugin.planning.run import Number, PlannedRun
from halluc_plugin.planning.shapes import ModelShape

DTYPES = {Number.FP32: torch.float32, Number.BF16: torch.bfloat16}


class Reading(StrEnum):
    """How log-probs are read from the head.

    - ``fused``: verl's engine with flash-attn: logits of all positions, whose gradient takes their place
      (``logprobs_from_logits_flash_attn`` in verl 0.9.1, ``utils/torch_functional.py``).
    - ``log_softmax``: Logits of all positions, their log-softmax, and a gradient, in torch.
    - ``chunks``: Ours: logits of the actions alone, in chunks (:mod:`halluc_plugin.hard.chunks`).
    - ``padded``: Ours until rows were packed: logits of all positions and what was made of them, 6.5 times
      as much at the peak (measured), in float32.
    """

    FUSED = "fused"
    LOG_SOFTMAX = "log_softmax"
    CHUNKS = "chunks"
    PADDED = "padded"


COPIES = {Reading.FUSED: 1.0, Reading.LOG_SOFTMAX: 3.0, Reading.PADDED: 6.5}
"""How often the logits of a micro-batch are held at the peak."""


class Mask(StrEnum):
    """The mask of a micro-batch.

    - ``causal``: None: attention knows that it is causal.
    - ``blocks``: A ``BlockMask`` (:mod:`halluc_plugin.hard.blocks`).
    - ``rows``: A mask for each row, as on CPUs (:mod:`halluc_plugin.hard.packed_attention`).
    - ``dense``: The same for padded rows, anew in each layer, as it was until rows were packed.
    """

    CAUSAL = "causal"
    BLOCKS = "blocks"
    ROWS = "rows"
    DENSE = "dense"


@dataclass(frozen=True)
class UpdateMemory:
    """Bytes on a device during an update: what holds them, and the sums at four moments.

    Attributes:
        weights: The shard of the weights.
        gradients: The shard of their gradients.
        optimizer: The shard of Adam's two moments.
        activations: What the layers keep for the backward pass.
        mask: The attention mask.
        logits: The head's logits, and what is made of them; they are gone when layers are reached.
        at_head: All that is held while the head is read, and its gradient taken.
        at_layers: The same in the backward pass of the last layer.
        at_end: The same at the end of the backward pass.
        at_step: The same in the optimizer's step.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    mask: float
    logits: float
    at_head: float
    at_layers: float
    at_end: float
    at_step: float

    @property
    def peak(self) -> float:
        """The largest of the moments."""
        return max(self.at_head, self.at_layers, self.at_end, self.at_step)

    @property
    def resident(self) -> float:
        """What is held between updates, too, unless it is offloaded."""
        return self.weights + self.optimizer


def update_memory(
    shape: ModelShape,
    run: PlannedRun,
    reading: Reading,
    mask: Mask,
    *,
    chunk_bytes: int = chunks.CHUNK_BYTES_ELSEWHERE,
) -> UpdateMemory:
    """Return what a device holds during an update.

    Args:
        shape: The model's.
        run: The run's settings.
        reading: How log-probs are read.
        mask: The attention mask.
        chunk_bytes: The size of the logits (float32) that :attr:`Reading.CHUNKS` holds at once.
    """
    attending = Attending.ROWS if mask in {Mask.ROWS, Mask.DENSE} else Attending.FUSED
    layers = shape.layer_bytes(run.tokens, DTYPES[run.compute], attending)
    moments = _Moments(shape, run, reading, layers, chunk_bytes)
    held, hidden = _held(shape, run), mask_bytes(run, mask)
    always, forward = sum(held), moments.kept + hidden
    return UpdateMemory(
        *held,
        activations=moments.kept,
        mask=hidden,
        logits=moments.logits,
        at_head=always + forward + moments.head(),
        at_layers=always + forward + moments.layers_backward(),
        at_end=always + hidden + moments.end(),
        at_step=always + moments.step(),
    )


def cpu_chunk_bytes(shape: ModelShape, run: PlannedRun) -> int:
    """Return the size of the logits (float32) that are held at once on a CPU.

    Args:
        shape: The model's.
        run: The run's settings.
    """
    return chunks.chunk_bytes("cpu", 4 * shape.rows * run.actions)


def _trained(shape: ModelShape, run: PlannedRun) -> int:
    return shape.low_rank(run.low_rank) if run.low_rank else shape.parameters


def _held(shape: ModelShape, run: PlannedRun) -> tuple[float, float, float]:
    """Weights, gradients, and Adam's two moments (Kingma and Ba 2015): P/s, P/s and 2P/s numbers.

    They are sharded as by ZeRO stage 3 (Rajbhandari et al. 2020, arXiv 1910.02054, section 5).
    """
    trained = _trained(shape, run) * run.weights.size / run.shards
    frozen = shape.parameters * run.weights.size / run.shards if run.low_rank else 0.0
    return trained + frozen, trained, 2 * trained


@dataclass(frozen=True)
class _Moments:
    """The moments of an update: each returns the bytes that are held beyond what is kept."""

    shape: ModelShape
    run: PlannedRun
    reading: Reading
    layer_bytes: LayerBytes
    chunk_bytes: int

    @property
    def size(self) -> int:
        return self.run.compute.size

    @property
    def of_weight(self) -> float:
        """The gradient of the head's weight, which low-rank updates leave as it is."""
        return 0.0 if self.run.low_rank else self.shape.head * self.size

    @property
    def hidden(self) -> float:
        """Hidden states of a micro-batch, N x D."""
        return self.run.tokens * self.shape.hidden * self.size

    @property
    def kept(self) -> float:
        """What the layers keep; with checkpointing their inputs, and what is kept outside of layers.

        Checkpointing is that of Chen et al. 2016, arXiv 1604.06174.
        """
        layers = self.layer_bytes
        if not self.run.checkpointing:
            adapters = len(self.shape.linear) * self.run.low_rank * self.run.tokens * self.size
            return layers.kept + adapters
        outside = max(0.0, layers.kept - self.shape.layers * layers.of_a_layer)
        return self.shape.layers * self.hidden + outside

    @property
    def root(self) -> float:
        """FSDP2's root, whole from forward to backward: the head and, where it is tied, the embedding."""
        return self.shape.head * self.size if self.run.sharded else 0.0

    @property
    def logits(self) -> float:
        """Logits, as often as they are held.

        For chunks that is once and a buffer, in float32, and in half precision what the head gave and its
        gradient.
        """
        if self.reading is Reading.CHUNKS:
            numbers = min(self.run.actions * self.shape.rows, self.chunk_bytes // 4)
            return 2.0 * numbers * (4 + (self.size if self.size < 4 else 0))
        padded = self.reading is Reading.PADDED
        positions = self.run.rows * self.run.longest if padded else self.run.tokens
        return COPIES[self.reading] * positions * self.shape.rows * (4 if padded else self.size)

    def head(self) -> float:
        """The logits, gradients of hidden states, and that of the weight, which chunks add up in float32."""
        states, summed = self.hidden, 0.0
        if self.reading is Reading.CHUNKS:
            states = 2.0 * self.run.actions * self.shape.hidden * self.size
            summed = self.of_weight / self.size * 4 if self.size < 4 else 0.0
        return self.root + self.logits + states + self.of_weight + summed

    def layers_backward(self) -> float:
        """The backward pass of the last layer, FSDP2 prefetching the one before it."""
        passes = self.layer_bytes.working + self.hidden
        if self.run.checkpointing:
            passes += self.layer_bytes.of_a_layer
        if not self.run.sharded:
            # The head's part waits for the embedding's.
            return passes + (self.of_weight if self.shape.tied else 0.0)
        # Two layers' weights, and one's gradients in both types, as they are reduced in float32.
        layer = self.shape.of_a_layer
        learns = 0.0 if self.run.low_rank else layer * (self.size + 4)
        return passes + self.root + self.of_weight + 2 * layer * self.size + learns

    def end(self) -> float:
        """The embedding's gradient, dense; of tied ones also the head's; and their copy that is reduced."""
        reduced = self.of_weight / self.size * 4 if self.run.sharded else 0.0
        both = 2 if self.shape.tied or self.run.sharded else 1
        return self.root + both * self.of_weight + reduced

    def step(self) -> float:
        """The roots of the second moments in torch's AdamW.

        On accelerators they are those of all weights at once (``_multi_tensor_adam``), on CPUs twice those of
        one weight (``_single_tensor_adam``).
        """
        trained = _trained(self.shape, self.run)
        if self.run.sharded:
            return trained * self.run.weights.size / self.run.shards
        return 2.0 * min(self.shape.largest, trained) * self.run.weights.size


def mask_bytes(run: PlannedRun, mask: Mask) -> float:
    """Return the bytes of the mask of a micro-batch.

    Args:
        run: The run's settings.
        mask: What kind of mask it is.

    Returns:
        For blocks that is four tables of int32 (blocks of keys for each block of queries, partly and wholly
        visible, and the same by keys); for rows, W x W for each row as booleans and as numbers to add; for a
        dense one the same, and once more for a layer's call.
    """
    if mask is Mask.CAUSAL:
        return 0.0
    if mask is Mask.BLOCKS:
        blocks = -(-run.tokens // BLOCK)
        return 4 * 4.0 * blocks * (blocks + 1)
    pairs = float(run.rows * run.longest**2)
    return pairs * (1 + run.compute.size * (2 if mask is Mask.DENSE else 1))
