"""Train by SequenceMatch: imitation first, then matching of occupancies with a replay buffer.

Deviations from the paper (arXiv 2306.05426):

1. Noise in the data is masked by default, in the matching loss too: it happened to the policy.
2. β goes linearly to its last value, and stays there; the paper's schedule is known from its appendix only.
3. The loss is per discounted action of the data, so that it and the imitation loss have one scale.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import set_seed

from halluc_plugin.atomic_files import make_folder
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.decoding import Decoding
from halluc_plugin.decoding.limits import require_room
from halluc_plugin.edits import Context, EditVocab, resolve
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.hard import check_reading, require_tree_attention
from halluc_plugin.losses import (
    Divergence,
    MatchLoss,
    Trajectories,
    imitation_loss,
    score_trajectories,
    sequence_match_loss,
)
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training.buffer_saving import BufferSaving
from halluc_plugin.training.dataset import TraceDataset
from halluc_plugin.training.fine_tuning import arguments, last_checkpoint, pad_id, read_rows_for, run
from halluc_plugin.training.match_settings import MatchSettings
from halluc_plugin.training.mean_logs import MeanLogsTrainer
from halluc_plugin.training.own_rows import own_rows, refuse_words, require_one_batch
from halluc_plugin.training.replay import ReplayBuffer
from halluc_plugin.training.settings import TrainSettings


def match_sequences(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: TrainSettings,
    out: Path,
    *,
    matching: MatchSettings,
    step_delimiter: str = "\n",
    show_progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train a model in place, in hard context, and save it with its tokenizer in one folder.

    An interrupted run resumes from its last checkpoint with its replay buffer.

    Args:
        model: The model, as for :func:`halluc_plugin.hard.score_actions`.
        tokenizer: Its tokenizer, whose ids the files are in.
        files: The trace files; the model's own responses answer their prompts.
        settings: How to train. Erased tokens are masked, or kept as actions of the policy.
        out: Folder for the model, its checkpoints and its TensorBoard files.
        matching: How occupancies are matched.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        show_progress: Whether to show a progress bar.
        callbacks: Further callbacks of the trainer.

    Returns:
        The figures that :func:`halluc_plugin.training.fine_tune` returns.

    Raises:
        DataError: The files are refused by :func:`halluc_plugin.training.fine_tune`.
        SettingsError: The model's attention cannot follow a tree, or batches are to be split, which the ratio
            in the loss does not allow.
    """
    make_folder(out)
    require_tree_attention(model.config)
    require_one_batch(settings, "SequenceMatch", "whose matching loss is a ratio")
    rows = read_rows_for(model, tokenizer, files)
    refuse_words(rows, "Match on")
    require_room(model.config, (row.prompt_ids for row in rows), matching.max_actions, Context.HARD)
    set_seed(settings.seed)
    vocab = vocab_of(tokenizer, step_delimiter=step_delimiter)
    eos_ids = frozenset({int(tokenizer.eos_token_id)})
    trainer = MatchTrainer(
        model=model,
        args=arguments(settings, out, show_progress=show_progress),
        train_dataset=TraceDataset(rows),
        data_collator=RowCollator(pad_id(tokenizer)),
        callbacks=list(callbacks),
    )
    replay = ReplayBuffer(matching.capacity)
    if checkpoint := last_checkpoint(out):
        replay.load(Path(checkpoint))
    rounded = torch.bfloat16 if trainer.args.bf16 else torch.float32
    check_reading(model, vocab, Context.HARD, autocast=rounded)
    trainer.match(matching, replay, vocab, eos_ids, settings)
    trainer.add_callback(Refresh(trainer, rows))
    return run(trainer, tokenizer, out, step_delimiter=step_delimiter)


class RowCollator:
    """Pads prompts and responses, each on the right."""

    def __init__(self, pad: int) -> None:
        self._pad = pad

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, torch.Tensor]:
        """``prompt_ids``, ``prompt_valid``, ``response_ids`` and ``response_valid``, [N, P] and [N, T]."""
        batch = {}
        for name, parts in (
            ("prompt", [row.prompt_ids for row in rows]),
            ("response", [row.response_ids for row in rows]),
        ):
            lengths = torch.tensor([len(part) for part in parts])
            width = int(lengths.max())
            padded = [[*part, *[self._pad] * (width - len(part))] for part in parts]
            batch[f"{name}_ids"] = torch.tensor(padded)
            batch[f"{name}_valid"] = torch.arange(width) < lengths[:, None]
        return batch


class MatchTrainer(MeanLogsTrainer):
    """The transformers trainer with the loss of SequenceMatch; call :meth:`match` before training."""

    matching: MatchSettings
    replay: ReplayBuffer
    vocab: EditVocab
    eos_ids: frozenset[int]
    settings: TrainSettings

    def match(
        self,
        matching: MatchSettings,
        replay: ReplayBuffer,
        vocab: EditVocab,
        eos_ids: frozenset[int],
        settings: TrainSettings,
    ) -> None:
        """Set how occupancies are matched, and with which responses.

        Args:
            matching: How occupancies are matched.
            replay: The model's own responses.
            vocab: The edit vocabulary of the ids.
            eos_ids: Ids that end a response.
            settings: How to train.
        """
        self.matching, self.replay, self.vocab, self.eos_ids = matching, replay, vocab, eos_ids
        self.settings = settings

    @property
    def rows_needed(self) -> bool:
        """Whether the loss of this step needs responses of the model."""
        mixture = self.matching.divergence is Divergence.CHI2_MIXTURE
        return mixture and self.matching.beta(self.state.global_step) < 1

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the trainer's interface
    ) -> Any:
        """Return β imitation + (1 - β) matching, a scalar.

        One forward pass covers the data and as many responses of the model.
        """
        step, count = self.state.global_step, len(inputs["prompt_ids"])
        beta = self.matching.beta(step)
        batch = inputs
        if self.rows_needed:
            rng = np.random.default_rng([self.settings.seed, 21, step])
            drawn = self.data_collator(self.replay.draw(count, rng))
            batch = {name: stacked(inputs[name], drawn[name].to(inputs[name].device)) for name in inputs}
        data, own = self._score(model, batch).split(count)
        if self.settings.erased_tokens is ErasedTokens.MASK:
            width = data.imitated.shape[1]
            erased = resolve(
                batch["response_ids"][:count], batch["response_valid"][:count], self.vocab
            ).erased
            data = replace(data, imitated=data.imitated & ~erased[:, :width])
        imitation = imitation_loss(data)
        loss = imitation
        if beta < 1:
            matched = sequence_match_loss(
                data,
                own if self.rows_needed else None,
                gamma=self.matching.gamma,
                divergence=self.matching.divergence,
            )
            loss = beta * imitation + (1 - beta) * matched.loss
            self._note(matched)
        self.note(imitation=float(imitation.detach()), beta=beta)
        return (loss, None) if return_outputs else loss

    def _score(self, model: Any, batch: dict[str, torch.Tensor]) -> Trajectories:
        resolution = resolve(batch["response_ids"], batch["response_valid"], self.vocab)
        return score_trajectories(
            model, batch["prompt_ids"], batch["prompt_valid"], resolution, eos_ids=self.eos_ids
        )

    def _note(self, matched: MatchLoss) -> None:
        names = ("loss", "value", "matched", "penalty")
        self.note(**{f"match_{name}": float(getattr(matched, name).detach()) for name in names})
        age = self.replay.mean_age(self.state.global_step)
        self.note(replay_size=len(self.replay), replay_age=age)


class Refresh(BufferSaving):
    """Draws responses of the current model, and saves the buffer with each checkpoint.

    Args:
        trainer: The trainer whose buffer it is.
        rows: The rows of the data, whose prompts are answered.
    """

    def __init__(self, trainer: MatchTrainer, rows: Sequence[TraceRow]) -> None:
        super().__init__(trainer.replay)
        self._trainer, self._rows = trainer, rows

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the trainer's interface
        model: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Draw responses if it is time, or if there are none yet."""
        trainer, matching = self._trainer, self._trainer.matching
        due = state.global_step % matching.refresh_steps == 0 or not len(trainer.replay)
        if not trainer.rows_needed or not due:
            return
        rng = np.random.default_rng([trainer.settings.seed, 22, state.global_step])
        asked = [self._rows[int(i)] for i in rng.integers(0, len(self._rows), matching.fresh)]
        generator = torch.Generator(model.device).manual_seed(int(rng.integers(2**62)))
        decoding = Decoding(
            trainer.vocab, matching.max_actions, Context.HARD, temperature=1.0, eos_ids=trainer.eos_ids
        )
        drawn = own_rows(model, asked, decoding, generator, bf16=args.bf16)
        trainer.replay.add(drawn, state.global_step)


def stacked(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the rows of both, padded on the right to one width.

    They are padded with zeros, since masks tell what is padding.

    Args:
        one: Rows of one batch, [N, T].
        other: Rows of another, [M, S], of the same dtype.
    """
    width = max(one.shape[1], other.shape[1])
    return torch.cat([torch.nn.functional.pad(rows, (0, width - rows.shape[1])) for rows in (one, other)])
