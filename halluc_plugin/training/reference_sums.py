"""What a reference model says of pairs: computed once, and kept in a file next to the run."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.data.parquet import read_metadata, read_rows, write_parquet
from halluc_plugin.data.resumable import Progress
from halluc_plugin.edits import Context, resolve
from halluc_plugin.errors import SettingsError
from halluc_plugin.hard import Statistic, score_actions
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.training.pairs import Example, PairCollator, Sums

REFERENCE, DATA = "reference", "data"
"""Keys of the digests in the metadata of the file."""


def summed_log_probs(
    model: Any, batch: dict[str, torch.Tensor], collator: PairCollator, context: Context
) -> torch.Tensor:
    """Return each trace's log-prob, summed over the tokens that count, Float[R], with gradients.

    Args:
        model: The model, as for :func:`halluc_plugin.hard.score_actions`.
        batch: R traces as the collator lays them out.
        collator: The collator, whose vocabulary the ids are in.
        context: What each action sees.
    """
    resolution = resolve(batch["response_ids"], batch["response_valid"], collator.vocab)
    scores = score_actions(
        model, batch["prompt_ids"], batch["prompt_valid"], resolution, context=context,
        unknown_banned=False, wanted=(Statistic.LOG_PROB,),
    )  # fmt: skip
    return scores.log_probs.masked_fill(~batch["counted"], 0).sum(1)


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
        device = next(model.parameters()).device
        with torch.no_grad(), evaluating(model), torch.autocast(device.type, torch.bfloat16, self.bf16):
            for first in progress(range(0, len(examples), self.batch_size), "batches of pairs scored",
                                  -(-len(examples) // self.batch_size)):  # fmt: skip
                some = examples[first : first + self.batch_size]
                batch = {name: value.to(device) for name, value in self.collator(some).items()}
                rows = summed_log_probs(model, batch, self.collator, self.context).reshape(-1, len(some))
                found += [Sums(*values) for values in rows.T.tolist()]
        return found

    def digest(self, examples: Sequence[Example]) -> str:
        """Return a name of the examples, and of all that decides which of their tokens count and are seen."""
        vocab = self.collator.vocab
        how = [sorted(vocab.roles.items()), sorted(vocab.step_delimiters)]
        how += [self.collator.erased_tokens, self.context, self.bf16]
        found = hashlib.sha256(json.dumps(how).encode())
        for each in examples:
            found.update(json.dumps([asdict(trace) for trace in each.traces]).encode())
        return found.hexdigest()


def reference_sums(
    path: Path,
    model: Any,
    examples: Sequence[Example],
    reader: SumReader,
    *,
    begun: bool = False,
    progress: Progress = pass_on,
) -> list[Sums]:
    """Return the reference's sums, from a file if it was written by this reference of these examples.

    Args:
        path: The file, which is written if there is none, or one of another reference or of other data.
        model: The reference model.
        examples: The examples, without sums.
        reader: Reads the sums.
        begun: Whether training with the sums of the file has begun.
        progress: Shows the progress.

    Raises:
        SettingsError: Training has begun with another reference or with other data.
    """
    digests = {REFERENCE: digest_of(model), DATA: reader.digest(examples)}
    known = read_metadata(path) if path.exists() else {}
    other = [name for name, digest in digests.items() if known.get(name) != digest]
    if not other:
        names = ("chosen", "rejected", *(["mismatched"] if examples[0].mismatched else []))
        return [Sums(**row) for row in read_rows(path, names)]
    if begun:
        raise SettingsError(
            f"{path.parent} holds an interrupted run whose {' and '.join(other)} were others ({path.name}).",
            "Give what it was started with, or another folder.",
        )
    found = reader.sums(model, examples, progress)
    rows = ({name: v for name, v in asdict(sums).items() if v is not None} for sums in found)
    write_parquet(path, rows, digests)
    return found


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
