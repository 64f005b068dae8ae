"""Train by scheduled sampling: the right next token, behind text of which the model wrote more and more.

S. Bengio et al. (arXiv 1506.03099): at optimizer step i each token that the model reads is the true one with
probability ε_i, else one that the model samples in its place; what it is to say stays the true next token. A
transformer reads all positions at once, so this is the version in two passes of T. Mihaylova and A. F. T.
Martins (arXiv 1906.07651): the first pass, over the true text and without gradients, gives the samples, and
the second pass is over the mixture and is trained.

Deviations from the papers:

1. A sample of the first pass follows the true text, as by Mihaylova and Martins; by Bengio et al. it follows
   the mixture.
2. What is read is a token that is drawn at temperature 1, as by Bengio et al.; Mihaylova and Martins also
   read mixtures of embeddings.
3. Edit tokens are never drawn. An end may be, and text goes on behind it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from transformers.trainer_utils import set_seed

from halluc_plugin.atomic_files import make_folder
from halluc_plugin.edits.builders import IGNORE_INDEX
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training.attention import unfused_attention
from halluc_plugin.training.dataset import TraceCollator, TraceDataset
from halluc_plugin.training.fine_tuning import arguments, longest_row, pad_id, read_rows_for, run
from halluc_plugin.training.own_rows import refuse_words
from halluc_plugin.training.settings import TrainSettings
from halluc_plugin.training.trainer import TraceTrainer

SAMPLES = 26
"""The stream of random numbers of what is read."""


class Decay(StrEnum):
    """How ε_i falls over optimizer steps i (arXiv 1506.03099, section 2.4)."""

    LINEAR = "linear"
    """ε_i = max(ε, k - c i), at most 1."""
    INVERSE_SIGMOID = "inverse-sigmoid"
    """ε_i = k / (k + exp(i / k))."""


@dataclass(frozen=True)
class Schedule:
    """The probability ε_i that a token that is read is the true one.

    Args:
        decay: How it falls.
        k: The k of its equation: linear, where the line begins, above 1 for a time of true text alone;
            inverse sigmoid, at least 1, the larger the later.
        slope: The c of the line, per optimizer step; only with :attr:`Decay.LINEAR`.
        least: The ε at which the line ends; only with :attr:`Decay.LINEAR`.

    Raises:
        SettingsError: A value is out of range, or has no meaning for the decay.
    """

    decay: Decay
    k: float
    slope: float | None = None
    least: float = 0.0

    def __post_init__(self) -> None:
        linear = self.decay is Decay.LINEAR
        if linear and not (self.k > 0 and self.slope is not None and self.slope > 0 and 0 <= self.least < 1):
            raise SettingsError(
                f"A line from {self.k} by {self.slope} a step to {self.least}.",
                "Give k and slope above 0, and least of at least 0 and below 1.",
            )
        if not linear and (self.k < 1 or self.slope is not None or self.least):
            raise SettingsError(
                f"An inverse sigmoid of k {self.k}, slope {self.slope} and least {self.least}.",
                "Give k of at least 1, and nothing else.",
            )

    @classmethod
    def line(cls, hold: int, fall: int, least: float) -> "Schedule":
        """Return a line that is 1 at first.

        Args:
            hold: Number of steps at 1.
            fall: Number of steps in which it falls.
            least: Where it ends, ε.
        """
        slope = (1 - least) / max(fall, 1)
        return cls(Decay.LINEAR, 1 + slope * hold, slope, least)

    @classmethod
    def sigmoid(cls, half: float) -> "Schedule":
        """Return the inverse sigmoid that is one half at a step, which is k ln k.

        Args:
            half: The step, above 0; it may lie between two.
        """
        k = math.e  # Newton's method on k ln k, which is convex for k above 1
        for _ in range(50):
            k = (k + half) / (math.log(k) + 1)
        return cls(Decay.INVERSE_SIGMOID, k)

    def truth(self, step: int) -> float:
        """Return ε_i at an optimizer step; steps count from 0."""
        if self.slope is None:
            power = step / self.k
            return 0.0 if power > math.log(1e300) else self.k / (self.k + math.exp(power))
        return min(1.0, max(self.least, self.k - self.slope * step))


def sample_on_schedule(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: TrainSettings,
    out: Path,
    *,
    schedule: Schedule,
    show_progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train a model in place, and save it with its tokenizer in one folder.

    Without edits soft and hard context are the same. An interrupted run resumes from its last checkpoint.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer, whose ids the files are in.
        files: The trace files, without edits: the true text has no errors.
        settings: How to train.
        out: Folder for the model, its checkpoints and its TensorBoard files.
        schedule: How much of what is read is true.
        show_progress: Whether to show a progress bar.
        callbacks: Further callbacks of the trainer.

    Returns:
        The figures that :func:`halluc_plugin.training.fine_tune` returns.

    Raises:
        DataError: The files are refused by :func:`halluc_plugin.training.fine_tune`, or have edits.
        SettingsError: The loss is to have shares.
    """
    make_folder(out)
    if settings.shares.given:
        raise SettingsError("Scheduled sampling weighs all tokens the same.", "Leave the shares out.")
    vocab = vocab_of(tokenizer)
    rows = read_rows_for(model, tokenizer, files)
    refuse_words(rows, "Use neither these nor")
    if any(not vocab.edit_ids.isdisjoint(row.response_ids) for row in rows):
        raise DataError(
            "A trace has edits, and text in which tokens are replaced has other places to take back.",
            "Give clean traces, e.g. of `halluc data ... --backtracking 0`.",
        )
    set_seed(settings.seed)
    banned = [*sorted(vocab.edit_ids), *vocab.unknown_ids(model.config.get_text_config().vocab_size)]
    with unfused_attention(model, longest_row(rows), bf16=bool(settings.bf16)):
        trainer = ScheduledTrainer(
            model=model,
            args=arguments(settings, out, show_progress=show_progress),
            train_dataset=TraceDataset(rows),
            data_collator=TraceCollator(vocab, pad_id(tokenizer), settings.erased_tokens),
            callbacks=list(callbacks),
            vocab=vocab,
        )
        trainer.follow(schedule, banned, settings.seed)
        return run(trainer, tokenizer, out)


class ScheduledTrainer(TraceTrainer):
    """The trainer of traces, which reads samples of the model; call :meth:`follow` before training."""

    def follow(self, schedule: Schedule, banned: Sequence[int], seed: int) -> None:
        """Set what is read.

        Args:
            schedule: How much of it is true.
            banned: Ids that are never drawn in place of the truth.
            seed: Seed of what is drawn.
        """
        self._schedule, self._banned, self._drawing = schedule, list(banned), seed
        self._passes = (0, 0)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the cross entropy of the true tokens behind the mixture, in nats per label."""
        step = self.state.global_step
        truth = self._schedule.truth(step)
        if truth < 1:
            # A step may have several batches, of which each draws its own.
            number = self._passes[1] + 1 if self._passes[0] == step else 0
            self._passes = (step, number)
            rng = np.random.default_rng([self._drawing, SAMPLES, step, number])
            ids = inputs["input_ids"]
            generator = torch.Generator(ids.device).manual_seed(int(rng.integers(2**62)))
            with torch.no_grad():
                first = model(**{**inputs, "labels": None}, use_cache=False).logits.float()
            mixed = mixture(ids, inputs["labels"], first, truth, banned=self._banned, generator=generator)
            inputs = {**inputs, "input_ids": mixed}
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


def mixture(
    ids: torch.Tensor,
    labels: torch.Tensor,
    logits: torch.Tensor,
    truth: float,
    *,
    banned: Sequence[int],
    generator: torch.Generator,
) -> torch.Tensor:
    """Return what the second pass reads.

    Args:
        ids: The true ids, Long[N, L].
        labels: The ids that are learned, Long[N, L], aligned with ``ids``; prompts and padding, which are
            not, stay true.
        logits: The logits of the first pass, Float[N, L, V]; those at a position are of the next one.
        truth: Probability that a token stays true.
        banned: Ids that are never drawn; there are others.
        generator: The source of randomness, on the device of the ids.

    Returns:
        The mixed ids, Long[N, L].
    """
    probs = logits[:, :-1].index_fill(-1, torch.tensor(banned, device=ids.device).long(), -torch.inf)
    flat = probs.softmax(-1).flatten(0, 1)
    drawn = torch.multinomial(flat, 1, generator=generator).view(len(ids), -1)
    replaced = torch.rand(drawn.shape, generator=generator, device=ids.device) >= truth
    replaced &= labels[:, 1:] != IGNORE_INDEX
    return torch.cat([ids[:, :1], torch.where(replaced, drawn, ids[:, 1:])], 1)
