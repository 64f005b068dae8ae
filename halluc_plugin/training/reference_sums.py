"""What a reference model says of pairs: computed once, and kept in a file next to the run."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.data.parquet import read_metadata, read_rows, write_parquet
from halluc_plugin.data.resumable import Progress
from halluc_plugin.edits import Context, resolve
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import Statistic, score_actions
from halluc_plugin.losses.token_rewards import token_rewards
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.training.pairs import Example, PairCollator, Sums

REFERENCE, DATA = "reference", "data"
"""Keys of the digests in the metadata of the file."""

PAID = ("chosen_rewards", "rejected_rewards")
"""Columns of token rewards."""


def imitated_log_probs(
    model: Any, batch: dict[str, torch.Tensor], collator: PairCollator, context: Context
) -> torch.Tensor:
    """Return the log-prob of each token that fine-tuning would imitate, Float[R, T] with gradients, else 0.

    Args:
        model: The model, as for :func:`halluc_plugin.hard.score_actions`.
        batch: R traces as the collator lays them out.
        collator: The collator, whose vocabulary the ids are in.
        context: What each action sees.
    """
    resolution = resolve(batch["response_ids"], batch["response_valid"], collator.vocab)
    scores = score_actions(
        model, batch["prompt_ids"], batch["prompt_valid"], resolution, context=context,
        wanted=(Statistic.LOG_PROB,),
    )  # fmt: skip
    return scores.log_probs.masked_fill(~batch["imitated"], 0)


def counted_log_probs(
    model: Any, batch: dict[str, torch.Tensor], collator: PairCollator, context: Context
) -> torch.Tensor:
    """Return the log-prob of each token that counts, Float[R, T] with gradients, 0 elsewhere.

    Args:
        model: The model, as for :func:`imitated_log_probs`.
        batch: R traces as the collator lays them out.
        collator: The collator, whose vocabulary the ids are in.
        context: What each action sees.
    """
    return imitated_log_probs(model, batch, collator, context).masked_fill(~batch["counted"], 0)


@dataclass(frozen=True)
class SumReader:
    """Reads sums of log-probs without gradients, as a trainer computes them.

    Attributes:
        collator: Lays examples out.
        context: What each action sees.
        bf16: Whether forward passes compute in bfloat16.
        batch_size: Number of examples in a forward pass.
    """

    collator: PairCollator
    context: Context
    bf16: bool
    batch_size: int

    def sums(self, model: Any, examples: Sequence[Example], progress: Progress = pass_on) -> list[Sums]:
        """Return the sums of every example, in order.

        Args:
            model: The model, on the device on which it is to compute.
            examples: The examples.
            progress: Shows the progress, in examples.
        """
        found: list[Sums] = []
        for log_probs, some in self._read(model, examples, progress):
            found += [Sums(*values) for values in log_probs.sum(1).reshape(-1, len(some)).T.tolist()]
        return found

    def rewards(
        self, model: Any, examples: Sequence[Example], progress: Progress = pass_on
    ) -> list[tuple[list[float], list[float]]]:
        """Return the token rewards of both sides of every example, 0 where a token does not count.

        Args:
            model: The model that rewards, on the device on which it is to compute.
            examples: The examples, whose pairs have both opposite prompts.
            progress: Shows the progress, in examples.
        """
        read: list[list[list[float]]] = []
        kinds = [
            [replace(each, pair=replace(each.pair, prompt_ids=prompt), mismatched=None) for each, prompt in
             ((each, getattr(each.pair, f"{name}_prompt_ids")) for each in examples)]
            for name in ("better", "worse")
        ]  # fmt: skip
        for (better, some), (worse, _) in zip(
            *(self._read(model, kind, progress) for kind in kinds), strict=True
        ):
            rewards = token_rewards(better, worse).reshape(2, len(some), -1).transpose(0, 1)
            read += rewards.tolist()
        return [
            (of[0][: len(each.pair.chosen_ids)], of[1][: len(each.pair.rejected_ids)])
            for of, each in zip(read, examples, strict=True)
        ]

    def _read(
        self, model: Any, examples: Sequence[Example], progress: Progress
    ) -> Iterator[tuple[torch.Tensor, Sequence[Example]]]:
        """Log-probs of the counted tokens of a few examples after the other, Float[R, T] on the CPU."""
        device = next(model.parameters()).device
        firsts = range(0, len(examples), self.batch_size)
        for first in progress(firsts, "batches of pairs scored", len(firsts)):
            some = examples[first : first + self.batch_size]
            batch = {name: value.to(device) for name, value in self.collator(some).items()}
            with torch.no_grad(), evaluating(model), torch.autocast(device.type, torch.bfloat16, self.bf16):
                log_probs = counted_log_probs(model, batch, self.collator, self.context)
            yield log_probs.float().cpu(), some

    def digest(self, examples: Sequence[Example], *, rewarded: bool) -> str:
        """Return a name of the examples, and of all that decides which of their tokens count and are seen."""
        vocab = self.collator.vocab
        how = [sorted(vocab.roles.items()), sorted(vocab.step_delimiters)]
        how += [self.collator.erased_tokens, self.context, self.bf16, rewarded]
        found = hashlib.sha256(json.dumps(how).encode())
        for each in examples:
            other = None if each.mismatched is None else asdict(each.mismatched)
            found.update(json.dumps([asdict(each.pair), other]).encode())
        return found.hexdigest()


def with_reference(
    path: Path,
    model: Any,
    examples: Sequence[Example],
    reader: SumReader,
    *,
    begun: bool = False,
    rewarded: bool = False,
    progress: Progress = pass_on,
) -> list[Example]:
    """Return examples with the reference's sums, from a file if this reference said so of these examples.

    Args:
        path: The file, which is written if there is none, or one of another reference or of other data.
        model: The reference model.
        examples: The examples, without sums.
        reader: Reads the sums.
        begun: Whether training with the sums of the file has begun.
        rewarded: Whether tokens are rewarded, too, by the reference.
        progress: Shows the progress.

    Raises:
        SettingsError: Training has begun with another reference or with other data.
    """
    digests = {REFERENCE: digest_of(model), DATA: reader.digest(examples, rewarded=rewarded)}
    known = read_metadata(path) if path.exists() else {}
    other = [name for name, digest in digests.items() if known.get(name) != digest]
    if other and begun:
        raise SettingsError(
            f"{path.parent} holds an interrupted run whose {' and '.join(other)} were others ({path.name}).",
            "Give what it was started with, or another folder.",
        )
    if other:
        sums = reader.sums(model, examples, progress)
        rows = [{name: value for name, value in asdict(each).items() if value is not None} for each in sums]
        if rewarded:
            paid = reader.rewards(model, examples, progress)
            rows = [row | dict(zip(PAID, of, strict=True)) for row, of in zip(rows, paid, strict=True)]
        write_parquet(path, rows, digests)
    names = ("chosen", "rejected", *(["mismatched"] if examples[0].mismatched else []))
    return [
        replace(
            each,
            reference=Sums(**{name: row[name] for name in names}),
            rewards=(row[PAID[0]], row[PAID[1]]) if rewarded else None,
        )
        for each, row in zip(examples, read_rows(path, (*names, *(PAID if rewarded else ()))), strict=True)
    ]


def digest_of(model: Any) -> str:
    """Return a name that two models share if they have the same weights by the same names."""
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        found.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Switch a model's dropout off inside the block; afterwards it is as before."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)
