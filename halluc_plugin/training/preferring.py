"""Fine-tune on pairs of raw traces by a preference loss, in soft or hard context."""

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import set_seed

from halluc_plugin.atomic_files import make_folder, write_whole
from halluc_plugin.data.pair_files import PairRow, read_pairs
from halluc_plugin.decoding.limits import max_positions
from halluc_plugin.edits import Context
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.hard import check_reading
from halluc_plugin.losses.preference import Preference, PreferenceSettings
from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.progress_bar import pass_on, show_progress
from halluc_plugin.tokens import vocab_of
from halluc_plugin.training.attention import unfused_attention
from halluc_plugin.training.fine_tuning import (
    arguments,
    devices,
    last_checkpoint,
    longest_row,
    pad_id,
    refuse_overlong,
    refuse_unknown,
    run,
)
from halluc_plugin.training.low_rank import ADAPTER, check_low_rank, train_low_rank
from halluc_plugin.training.pairs import (
    Example,
    PairCollator,
    Sums,
    hold_out,
    mismatch,
    refuse_uncounted,
)
from halluc_plugin.training.prefer_settings import PreferSettings, check_reference
from halluc_plugin.training.preference_trainer import PreferenceTrainer
from halluc_plugin.training.reference_sums import SumReader, with_reference

SUMS = "reference.parquet"
QUALITY = "preferences.json"


@dataclass(frozen=True)
class Preferred:
    """The result of training on pairs.

    Attributes:
        loss: Mean loss of a pair over the steps since this start.
        seconds: Duration of these steps.
        before: Share of the held-out pairs of which the model found the chosen side likelier before training,
            by the sum over the counted tokens, for SimPO by their mean; n is 0 if none was held out.
        after: The same share after training.
        shift: Mean change of the sums of held-out chosen sides by training, in nats; preference losses often
            make chosen sides less likely, too, though less so than rejected ones.
    """

    loss: float
    seconds: float
    before: Proportion
    after: Proportion
    shift: float


class _Examples(torch.utils.data.Dataset[Example]):
    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[index]


def prefer(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: PreferSettings,
    out: Path,
    *,
    reference: Any | None,
    step_delimiter: str = "\n",
    shown: bool = True,
) -> Preferred:
    """Train a model in place on pairs, and save it with its tokenizer and a report in one folder.

    What the reference says of the pairs is computed once and kept in ``reference.parquet`` in the folder. An
    interrupted run resumes when it is started again with the same ``out``.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer, whose ids the files are in.
        files: The files of pairs (:mod:`halluc_plugin.data.pair_files`).
        settings: How to train.
        out: Folder for the model and all that is written next to it.
        reference: The reference model, which may be the model itself before training; None for SimPO.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.
        shown: Whether to show progress.

    Returns:
        The loss, and how often the chosen side was found likelier.

    Raises:
        DataError: A file is malformed or has another tokenizer's ids; a pair teaches nothing; a trace is
            longer than a model's positions; or all pairs are of one problem where two are needed.
        TokenizerError: A model has no row for one of the ids.
        SettingsError: The reference is missing or not used by the loss, there is more than one device, the
            model's attention cannot follow a tree in hard context, or ``out`` holds another run.
    """
    check_reference(settings.loss, given=reference is not None)
    if devices() > 1:
        raise SettingsError(
            f"{devices()} devices: preferences are trained on one.",
            "Show one, e.g. by CUDA_VISIBLE_DEVICES=0, and start it without torchrun.",
        )
    if settings.low_rank is not None:
        check_low_rank(settings.low_rank, out)
    make_folder(out)
    train, folder = settings.train, out if settings.low_rank is None else out / ADAPTER
    vocab = vocab_of(tokenizer, step_delimiter=step_delimiter)
    collator = PairCollator(vocab, pad_id(tokenizer), train.erased_tokens)
    asked, held = _examples(files, tokenizer, settings, collator)
    models = [model] if reference is None or reference is model else [model, reference]
    for each in models:
        _refuse_misfits([*asked, *held], each)
    set_seed(train.seed)
    args = arguments(train, folder, show_progress=shown)
    reader = SumReader(collator, train.context, bool(args.bf16), args.per_device_train_batch_size)
    with unfused_attention(
        model, longest_row([t for each in (*asked, *held) for t in each.read_traces]), bf16=bool(train.bf16)
    ):
        for each in models:
            _place(each, collator, train.context, args)
        before = reader.sums(model, held)
        if reference is not None:
            progress = show_progress if shown else pass_on
            begun = last_checkpoint(folder) is not None
            asked = with_reference(
                out / SUMS, reference, asked, reader,
                begun=begun, rewarded=settings.token_rewards is not None, progress=progress,
            )  # fmt: skip
        for each in models[1:]:
            each.to("cpu")  # what it has said is all that training needs of it
        after: list[Sums] = []

        def step(tuned: Any, place: Path, finish: Callable[[], None]) -> dict[str, float]:
            trainer = PreferenceTrainer(
                model=tuned, args=args, train_dataset=_Examples(asked), data_collator=collator,
                loss=settings.loss, context=train.context, token_rewards=settings.token_rewards,
                imitation=settings.imitation,
            )  # fmt: skip

            def report() -> None:
                after.extend(reader.sums(trainer.model, held))
                finish()

            return run(trainer, tokenizer, place, report, step_delimiter=step_delimiter)

        if settings.low_rank is None:
            done = step(model, out, lambda: None)
        else:
            done = train_low_rank(
                model, tokenizer, step, out,
                rank=settings.low_rank, seed=train.seed, step_delimiter=step_delimiter,
            )  # fmt: skip
    likelier = partial(_likelier, held, collator, settings.loss)
    shifts = [b.chosen - a.chosen for a, b in zip(before, after, strict=True)]
    shift = sum(shifts) / len(shifts) if shifts else float("nan")
    found = Preferred(done["train_loss"], done["train_runtime"], likelier(before), likelier(after), shift)
    _write(found, out)
    return found


def _place(model: Any, collator: PairCollator, context: Context, args: TrainingArguments) -> None:
    """Move a model to where it computes, and check there that it can read in hard context."""
    model.to(args.device)
    if context is Context.HARD:
        rounded = torch.bfloat16 if args.bf16 else torch.float32
        check_reading(model, collator.vocab, Context.HARD, autocast=rounded)


def _examples(
    files: Sequence[Path], tokenizer: Any, settings: PreferSettings, collator: PairCollator
) -> tuple[list[Example], list[Example]]:
    """The examples to train on, and those that are held out."""
    rows: list[PairRow] = [row for path in files for row in read_pairs(path, tokenizer)]
    kept, held = hold_out(rows, settings.held_out, settings.train.seed)
    kto = settings.loss.loss is Preference.KTO
    asked = mismatch(kept, settings.train.seed) if kto else [Example(row) for row in kept]
    refuse_uncounted([Example(row) for row in rows], collator)
    if settings.token_rewards is not None and not all(row.better_prompt_ids for row in rows):
        raise DataError(
            "Tokens are to be rewarded, and a pair has no opposite prompts.",
            "Write the pairs with `halluc data pairs --better-request TEXT --worse-request TEXT`.",
        )
    return asked, [Example(row) for row in held]


def _refuse_misfits(examples: Sequence[Example], model: Any) -> None:
    traces = [trace for each in examples for trace in each.read_traces]
    refuse_overlong(longest_row(traces), max_positions(model.config))
    greatest = max(max(trace.prompt_ids + trace.response_ids) for trace in traces)
    refuse_unknown(greatest, model.config.get_text_config().vocab_size)


def _likelier(
    held: Sequence[Example], collator: PairCollator, loss: PreferenceSettings, sums: Sequence[Sums]
) -> Proportion:
    """Of how many held-out pairs the chosen side is the likelier one; pairs of one problem lie together."""
    if not held:
        return Proportion.of(0, 0)
    won: defaultdict[tuple[int, ...], list[bool]] = defaultdict(list)
    for each, found in zip(held, sums, strict=True):
        chosen, rejected = (1, 1) if loss.needs_reference else collator([each])["counted"].sum(1).tolist()
        won[tuple(each.pair.prompt_ids)].append(found.chosen / chosen > found.rejected / rejected)
    return Proportion.clustered([sum(of) for of in won.values()], [len(of) for of in won.values()])


def _write(found: Preferred, out: Path) -> None:
    figures: dict[str, Any] = {"loss": found.loss}
    for name in ("before", "after"):
        share: Proportion = getattr(found, name)
        if share.n:
            figures[name] = {"value": share.value, "n": share.n, "low": share.low, "high": share.high}
    if found.after.n:
        figures["chosen_log_prob_shift"] = found.shift
    write_whole(out / QUALITY, json.dumps(figures, indent=1) + "\n")
