"""Fine-tune a causal language model on trace files, by the transformers ``Trainer``."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import set_seed

from halluc_plugin.atomic_files import make_folder
from halluc_plugin.data.trace_files import TraceRow, read_traces
from halluc_plugin.decoding.limits import max_positions
from halluc_plugin.edits import Context
from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from halluc_plugin.hard import check_reading
from halluc_plugin.progress import is_asked
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.saving import save_beside
from halluc_plugin.training.attention import unfused_attention
from halluc_plugin.training.dataset import TraceCollator, TraceDataset, TreeCollator, weighing_of
from halluc_plugin.training.number_type import with_number_type
from halluc_plugin.training.packing import packs_soft_rows
from halluc_plugin.training.padding_rows import PaddingRows
from halluc_plugin.training.settings import TrainSettings
from halluc_plugin.training.trainer import TraceTrainer

CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"


def fine_tune(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: TrainSettings,
    out: Path,
    *,
    step_delimiter: str = "\n",
    show_progress: bool = True,
    soft_collator: type[TraceCollator] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    finish: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Train a model in place, and save it with its tokenizer in one folder.

    An interrupted run resumes from its last checkpoint when it is started again with the same ``out``; its
    checkpoints are deleted when it is done.

    Args:
        model: A transformers causal language model; on an accelerator, and if it is large on a processor that
            multiplies in bfloat16, it trains in bf16 autocast.
        tokenizer: Its tokenizer, whose ids the files are in.
        files: The trace files.
        settings: How to train.
        out: Folder for the model, its checkpoints and its TensorBoard files.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        show_progress: Whether to show a progress bar.
        soft_collator: A class of collator for soft context that replaces :class:`TraceCollator`.
        callbacks: Further callbacks of the transformers trainer.
        finish: Function that is called with nothing after training, before the checkpoints are deleted.

    Returns:
        ``train_loss`` (mean over the steps since this start, in nats per label) and ``train_runtime`` (in
        seconds).

    Raises:
        DataError: A file is malformed or has another tokenizer's ids, or a trace is longer than the model's
            positions.
        SettingsError: The context is hard and the model's attention cannot follow a tree, the batch cannot be
            divided among the devices, or ``out`` cannot be written to.
    """
    make_folder(out)
    settings = with_number_type(settings, model)
    rows = read_rows_for(model, tokenizer, files)
    set_seed(settings.seed)
    collating = (
        vocab_of(tokenizer, step_delimiter=step_delimiter),
        pad_id(tokenizer),
        settings.erased_tokens,
    )
    weighing = weighing_of(
        rows, TraceCollator(*collating), settings.shares, tokenizer, step_delimiter=step_delimiter
    )
    vocab, hard = collating[0], settings.context is Context.HARD
    packed = hard or (soft_collator is None and packs_soft_rows(model, vocab, bf16=bool(settings.bf16)))
    with unfused_attention(model, longest_row(rows), bf16=bool(settings.bf16)):
        ours = partial(TraceTrainer, vocab=vocab, context=settings.context)
        padded = vocab.unknown_ids(model.config.get_text_config().vocab_size)
        trainer = (ours if packed or weighing or padded else Trainer)(
            model=model,
            args=arguments(settings, out, show_progress=show_progress),
            train_dataset=TraceDataset(rows),
            data_collator=(TreeCollator if packed else soft_collator or TraceCollator)(
                *collating, weighing=weighing
            ),
            callbacks=list(callbacks),
        )
        if hard:  # where it will train, and as: the trainer has moved the model
            rounded = torch.bfloat16 if trainer.args.bf16 else torch.float32
            check_reading(model, vocab, Context.HARD, autocast=rounded)
        return run(trainer, tokenizer, out, finish, step_delimiter=step_delimiter)


def run(
    trainer: Trainer,
    tokenizer: Any,
    out: Path,
    finish: Callable[[], None] = lambda: None,
    *,
    step_delimiter: str = "\n",
    beside: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Train to the end, from the last checkpoint if there is one, and save model and tokenizer.

    Args:
        trainer: The trainer; its output folder is ``checkpoints`` below ``out``.
        tokenizer: The model's tokenizer.
        out: Folder for the model and its TensorBoard files.
        finish: Function that is called with nothing after training, before the checkpoints are deleted.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        beside: Function that saves the files next to the weights; by default the tokenizer and card of a
            policy.

    Returns:
        The figures that :func:`fine_tune` returns.
    """
    from torch.utils.tensorboard import SummaryWriter

    if not is_asked():  # transformers has it print the logs where no bar is shown: into halluc quiet's log
        trainer.remove_callback(PrinterCallback)
    first = trainer.is_world_process_zero()
    if first:
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(out / TENSORBOARD))))
    if beside is None and not hasattr(trainer.model, "get_base_model"):  # peft's leaves them as they are
        trainer.add_callback(PaddingRows(trainer.model, vocab_of(tokenizer, step_delimiter=step_delimiter)))
    done = trainer.train(resume_from_checkpoint=last_checkpoint(out))
    trainer.save_model(str(out))
    trainer.accelerator.wait_for_everyone()  # each of several processes writes into the checkpoints
    if first:
        if beside is None:
            save_beside(trainer.model, tokenizer, out, step_delimiter=step_delimiter)
        else:
            beside()
        finish()
        _delete_checkpoints(out / CHECKPOINTS)
    return {name: float(done.metrics[name]) for name in ("train_loss", "train_runtime")}


def read_rows_for(model: Any, tokenizer: Any, files: Sequence[Path]) -> list[TraceRow]:
    """Read the rows of trace files, and check that they fit a model.

    Raises:
        DataError: A file is malformed or has another tokenizer's ids, or a row is longer than the model's
            positions.
        TokenizerError: The model has no row for one of the ids.
    """
    rows = [row for path in files for row in read_traces(path, tokenizer)]
    refuse_overlong(longest_row(rows), max_positions(model.config))
    greatest = max(max((*row.prompt_ids, *row.response_ids)) for row in rows)
    refuse_unknown(greatest, model.config.get_text_config().vocab_size)
    return rows


def pad_id(tokenizer: Any) -> int:
    """Return an id to pad with; lengths, never this id, tell what is padding."""
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def processes() -> int:
    """Return the number of processes that torchrun has started, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def devices() -> int:
    """Return the number of devices that share an optimizer step.

    They are torchrun's processes, or the accelerators of one process.
    """
    if processes() > 1 or not torch.accelerator.is_available():
        return processes()
    return max(1, torch.accelerator.device_count())


def longest_row(rows: Sequence[TraceRow]) -> int:
    """Return the number of tokens of the longest row, with its prompt."""
    return max(len(row.prompt_ids) + len(row.response_ids) for row in rows)


def refuse_unknown(greatest: int, size: int) -> None:
    """Refuse ids for which a model has no row.

    Args:
        greatest: The greatest id.
        size: Number of rows of the model.

    Raises:
        TokenizerError: The model has no row for the greatest id.
    """
    if greatest >= size:
        raise TokenizerError(
            f"The traces have a token with id {greatest}, but the model has {size} rows of tokens.",
            "Add the token to model and tokenizer: `halluc add-token --model MODEL --out FOLDER`.",
        )


def refuse_overlong(longest: int, limit: int | None) -> None:
    """Refuse rows that are longer than a model's positions.

    Args:
        longest: Number of tokens of the longest row, with its prompt.
        limit: Number of positions; None if the model names none.

    Raises:
        DataError: The longest row exceeds the limit.
    """
    if limit is not None and longest > limit:
        raise DataError(
            f"The longest trace has {longest} tokens with its prompt, the model has {limit} positions.",
            "Drop longer rows, or use a model with more positions.",
        )


def arguments(
    settings: TrainSettings, out: Path, *, show_progress: bool, **further: Any
) -> TrainingArguments:
    """Return the transformers trainer's arguments for these settings.

    Args:
        settings: The settings of the run.
        out: Folder for checkpoints and TensorBoard files.
        show_progress: Whether to show a progress bar.
        **further: Further arguments of the transformers trainer.

    Raises:
        SettingsError: The batch cannot be divided among the devices.
    """
    accelerator = torch.accelerator.is_available()
    sharing = devices()
    micro = settings.micro_batch_size or max(1, settings.batch_size // sharing)
    if settings.batch_size % (micro * sharing):
        raise SettingsError(
            f"batch_size is {settings.batch_size}, for {sharing} devices with {micro} traces at a time each.",
            f"Give a multiple of {micro * sharing}, or show fewer devices, e.g. by CUDA_VISIBLE_DEVICES=0.",
        )
    return TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        max_steps=settings.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=settings.batch_size // (micro * sharing),
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        adam_beta2=0.98,
        seed=settings.seed,
        data_seed=settings.seed,
        save_steps=settings.save_steps,
        save_total_limit=1,
        logging_steps=settings.log_steps,
        report_to=[],  # our own TensorBoard callback knows the folder
        remove_unused_columns=False,  # rows are not dictionaries of model inputs until they are collated
        bf16=accelerator if settings.bf16 is None else settings.bf16,
        use_cpu=not accelerator,
        disable_tqdm=not show_progress,
        dataloader_pin_memory=accelerator,
        **further,
    )


def last_checkpoint(out: Path) -> str | None:
    """Return the folder of the last complete checkpoint of an interrupted run, None if there is none.

    A checkpoint that was being written when a run was killed lacks the trainer's state or has an incomplete
    one, as that is written last.
    """
    folders = [path for path in (out / CHECKPOINTS).glob("checkpoint-*") if _step(path) >= 0]
    whole = [path for path in folders if _is_whole(path)]
    return str(max(whole, key=_step)) if whole else None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def _is_whole(checkpoint: Path) -> bool:
    try:
        TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
    except (OSError, ValueError, TypeError):
        return False
    return True


def _delete_checkpoints(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
