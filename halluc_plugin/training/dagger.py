"""Train by DAgger: imitate an expert in the states that the model itself gets into.

Algorithm 3.1 of S. Ross, G. Gordon and J. A. Bagnell (arXiv 1011.0686). Iteration 1 imitates the expert's own
responses, which are those of the data. Iteration i > 1 rolls in by the mixture π_i = β_i π* + (1 - β_i) π̂_i,
action by action, labels every state that was visited with the expert's action there, and adds all to what is
imitated from then on.

Deviations from the paper:

1. One model trains on through all iterations; the paper trains each policy anew. The last one is the result,
   not the best of all on held-out problems.
2. A batch has as many responses from the roll-ins as from the data, as that of SequenceMatch here; the paper
   imitates the union, of which each iteration is an equal part. No response is ever dropped.
3. States are sampled at temperature 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import Statistic, check_reading, require_tree_attention, score_actions
from halluc_plugin.tokens import edit_vocab, vocab_of
from halluc_plugin.training.buffer_saving import BufferSaving
from halluc_plugin.training.dataset import TraceDataset
from halluc_plugin.training.experts import Expert, Recovery
from halluc_plugin.training.fine_tuning import arguments, last_checkpoint, pad_id, read_rows_for, run
from halluc_plugin.training.matching import RowCollator, stacked
from halluc_plugin.training.mean_logs import MeanLogsTrainer
from halluc_plugin.training.own_rows import own_rows, refuse_words, require_one_batch
from halluc_plugin.training.replay import ReplayBuffer
from halluc_plugin.training.settings import TrainSettings

ROWS, ROLL_IN = 24, 25
"""Streams of random numbers: which roll-ins a step imitates, and what is rolled in."""


@dataclass(frozen=True)
class DaggerSettings:
    """How an expert is imitated.

    Args:
        recovery: What the expert does after an error.
        expert_share: p of β_i = p^(i-1), the share of actions that the expert takes in iteration i (β_1 = 1).
            0 leaves all to the model from the second iteration on.
        imitate_steps: Number of optimizer steps of the first iteration, on the data alone.
        refresh_steps: Number of optimizer steps of each later iteration.
        fresh: Number of responses of a roll-in.
        max_actions: Largest number of actions of a response.

    Raises:
        SettingsError: A value is out of range.
    """

    recovery: Recovery = Recovery.BACKTRACK
    expert_share: float = 0.5
    imitate_steps: int = 400
    refresh_steps: int = 20
    fresh: int = 256
    max_actions: int = 128

    def __post_init__(self) -> None:
        for name in ("imitate_steps", "refresh_steps", "fresh", "max_actions"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give at least 1.")
        if not 0 <= self.expert_share < 1:
            raise SettingsError(f"expert_share is {self.expert_share}.", "Give at least 0, and below 1.")

    def iteration(self, step: int) -> int:
        """Return the iteration of an optimizer step; iterations count from 1, steps from 0."""
        late = step - self.imitate_steps
        return 1 if late < 0 else 2 + late // self.refresh_steps

    def beta(self, iteration: int) -> float:
        """Return the share of the expert's actions in an iteration, β_i."""
        return self.expert_share ** (iteration - 1)


def imitate_expert(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: TrainSettings,
    out: Path,
    *,
    dagger: DaggerSettings,
    step_delimiter: str = "\n",
    show_progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train a model in place, in hard context, and save it with its tokenizer in one folder.

    An interrupted run resumes from its last checkpoint with all that was rolled in.

    Args:
        model: The model, as for :func:`halluc_plugin.hard.score_actions`.
        tokenizer: Its tokenizer, whose ids the files are in.
        files: The trace files. What they resolve to are the expert's answers, one to each prompt; in their
            states, too, the expert's action is imitated.
        settings: How to train.
        out: Folder for the model, its checkpoints and its TensorBoard files.
        dagger: How the expert is imitated. Without the backtrack token edits cannot be sampled.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        show_progress: Whether to show a progress bar.
        callbacks: Further callbacks of the trainer.

    Returns:
        The figures that :func:`halluc_plugin.training.fine_tune` returns.

    Raises:
        DataError: The files are refused by :func:`halluc_plugin.training.fine_tune` or by
            :meth:`halluc_plugin.training.experts.Expert.of`.
        SettingsError: The model's attention cannot follow a tree, or batches are to be split.
        TokenizerError: The expert is to backtrack, and there is no token for it.
    """
    make_folder(out)
    require_tree_attention(model.config)
    require_one_batch(settings, "DAgger", "which has as many responses of the model as of the data")
    takes_back = dagger.recovery is Recovery.BACKTRACK
    vocab = (edit_vocab if takes_back else vocab_of)(tokenizer, step_delimiter=step_delimiter)
    rows = read_rows_for(model, tokenizer, files)
    refuse_words(rows, "Imitate")
    eos_ids = frozenset({int(tokenizer.eos_token_id)})
    expert = Expert.of(rows, vocab, eos_ids, dagger.recovery)
    require_room(model.config, (row.prompt_ids for row in rows), dagger.max_actions, Context.HARD)
    set_seed(settings.seed)
    trainer = DaggerTrainer(
        model=model,
        args=arguments(settings, out, show_progress=show_progress),
        train_dataset=TraceDataset(rows),
        data_collator=ExpertCollator(pad_id(tokenizer), expert),
        callbacks=list(callbacks),
    )
    rolled_in = ReplayBuffer(dagger.fresh * dagger.iteration(settings.steps))  # nothing is ever dropped
    if checkpoint := last_checkpoint(out):
        rolled_in.load(Path(checkpoint))
    rounded = torch.bfloat16 if trainer.args.bf16 else torch.float32
    check_reading(model, vocab, Context.HARD, autocast=rounded)
    trainer.imitate(dagger, rolled_in, vocab, settings)
    decoding = Decoding(
        vocab,
        dagger.max_actions,
        Context.HARD,
        temperature=1.0,
        budget=None if takes_back else 0,
        eos_ids=eos_ids,
    )
    trainer.add_callback(RollIn(trainer, rows, expert, decoding))
    return run(trainer, tokenizer, out, step_delimiter=step_delimiter)


class ExpertCollator(RowCollator):
    """Pads prompts and responses, and adds what the expert does in each state of the responses."""

    def __init__(self, pad: int, expert: Expert) -> None:
        super().__init__(pad)
        self._expert = expert

    def __call__(self, rows: Sequence[TraceRow]) -> dict[str, torch.Tensor]:
        """Return the batch of :class:`RowCollator`, and ``expert_ids``, Long[N, T], 0 at padding."""
        batch = super().__call__(rows)
        said = torch.zeros_like(batch["response_ids"])
        for number, row in enumerate(rows):
            said[number, : len(row.response_ids)] = torch.tensor(self._expert.actions(row))
        return batch | {"expert_ids": said}


class DaggerTrainer(MeanLogsTrainer):
    """The transformers trainer with DAgger's loss; call :meth:`imitate` before training."""

    dagger: DaggerSettings
    rolled_in: ReplayBuffer
    vocab: EditVocab
    settings: TrainSettings

    def imitate(
        self, dagger: DaggerSettings, rolled_in: ReplayBuffer, vocab: EditVocab, settings: TrainSettings
    ) -> None:
        """Set how the expert is imitated, and in which states.

        Args:
            dagger: How the expert is imitated.
            rolled_in: The responses of all iterations so far.
            vocab: The edit vocabulary of the ids.
            settings: How to train.
        """
        self.dagger, self.rolled_in, self.vocab, self.settings = dagger, rolled_in, vocab, settings

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the trainer's interface
    ) -> Any:
        """Return the mean cross entropy of the expert's actions over all states of the batch, in nats."""
        step, batch = self.state.global_step, inputs
        if self.dagger.iteration(step) > 1:
            rng = np.random.default_rng([self.settings.seed, ROWS, step])
            drawn = self.data_collator(self.rolled_in.draw(len(inputs["prompt_ids"]), rng))
            batch = {name: stacked(inputs[name], drawn[name].to(inputs[name].device)) for name in inputs}
        resolution = resolve(batch["response_ids"], batch["response_valid"], self.vocab)
        scores = score_actions(
            model,
            batch["prompt_ids"],
            batch["prompt_valid"],
            resolution,
            wanted=(Statistic.LOG_PROB,),
            asked=batch["expert_ids"],
        )
        loss = -scores.log_probs.sum() / resolution.valid.sum()
        iteration = self.dagger.iteration(step)
        share, rolled_in = self.dagger.beta(iteration), len(self.rolled_in)
        self.note(iteration=iteration, expert_share=share, rolled_in=rolled_in)
        return (loss, None) if return_outputs else loss


class RollIn(BufferSaving):
    """Rolls in at the beginning of each iteration, and saves all that was rolled in with each checkpoint.

    Args:
        trainer: The trainer.
        rows: The rows of the data, whose prompts are answered.
        expert: The expert, which takes a share of the actions.
        decoding: How the model is sampled.
    """

    def __init__(
        self, trainer: DaggerTrainer, rows: Sequence[TraceRow], expert: Expert, decoding: Decoding
    ) -> None:
        super().__init__(trainer.rolled_in)
        self._trainer, self._rows, self._expert, self._decoding = trainer, rows, expert, decoding

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 - the trainer's interface
        model: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Roll in by the mixture if an iteration begins, or if nothing is there to imitate."""
        trainer, step = self._trainer, state.global_step
        dagger, iteration = trainer.dagger, trainer.dagger.iteration(step)
        begins = (step - dagger.imitate_steps) % dagger.refresh_steps == 0
        if iteration == 1 or not (begins or not len(trainer.rolled_in)):
            return
        rng = np.random.default_rng([trainer.settings.seed, ROLL_IN, step])
        asked = [self._rows[int(i)] for i in rng.integers(0, len(self._rows), dagger.fresh)]
        generator = torch.Generator(model.device).manual_seed(int(rng.integers(2**62)))
        beta = dagger.beta(iteration)

        def steer(number: int, live: Sequence[int]) -> int | None:
            by_expert = rng.random() < beta
            return self._expert.action(asked[number].prompt_ids, live) if by_expert else None

        drawn = own_rows(model, asked, self._decoding, generator, bf16=args.bf16, steer=steer)
        trainer.rolled_in.add(drawn, step)
