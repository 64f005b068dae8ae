"""Turn pairs of raw traces into batches: both sides, and which tokens of each count."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from halluc_plugin.data.pair_files import SIDES, PairRow
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import EditVocab
from halluc_plugin.edits.builders import IGNORE_INDEX, ErasedTokens
from halluc_plugin.errors import DataError
from halluc_plugin.training.dataset import ROWS_AT_ONCE, TreeCollator


@dataclass(frozen=True)
class Sums:
    """A model's log-probs of the traces of one example, each summed over the counted tokens, in nats.

    Attributes:
        chosen: The sum of the chosen side.
        rejected: The sum of the rejected side.
        mismatched: The sum of the mismatched response; None if the loss has no use for it.
    """

    chosen: float
    rejected: float
    mismatched: float | None = None


@dataclass(frozen=True)
class Example:
    """A pair as it is trained on.

    Attributes:
        pair: The pair.
        mismatched: The pair's prompt and shared beginning, followed by what another problem's pair has behind
            its own: for KTO's divergence; None for other losses.
        reference: The reference's sums; None for losses without a reference.
        rewards: The token rewards of the ids of both sides, chosen first; None if no tokens are rewarded.
    """

    pair: PairRow
    mismatched: TraceRow | None = None
    reference: Sums | None = None
    rewards: tuple[list[float], list[float]] | None = None

    @property
    def traces(self) -> list[TraceRow]:
        """The sides, chosen first, and the mismatched response if there is one."""
        return [*self.pair.sides, *([] if self.mismatched is None else [self.mismatched])]

    @property
    def read_traces(self) -> list[TraceRow]:
        """All that a model reads of the example: its traces, and its sides behind the opposite prompts."""
        prompts = (self.pair.better_prompt_ids, self.pair.worse_prompt_ids)
        sides = [replace(side, prompt_ids=p) for p in prompts if p for side in self.pair.sides]
        return [*self.traces, *sides]


class PairCollator:
    """Pads the traces of examples for a pass in either context, and says which tokens count.

    A token counts if it is imitated (:meth:`halluc_plugin.training.dataset.TraceCollator.labels`) and stands
    behind the beginning that both sides share.

    Args:
        vocab: The edit vocabulary of the ids.
        pad_id: The id at padding; lengths, never this id, tell what is padding.
        erased_tokens: Whether erased tokens count (``keep``) or not (``mask``).
    """

    def __init__(self, vocab: EditVocab, pad_id: int, erased_tokens: ErasedTokens) -> None:
        self.vocab, self.erased_tokens = vocab, erased_tokens
        self._traces = TreeCollator(vocab, pad_id, erased_tokens)

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        """The batch of N examples: R = 2N rows, or 3N with mismatched responses.

        Returns:
            ``prompt_ids`` and ``response_ids`` (Long[R, P] and [R, T]) with ``prompt_valid`` and
            ``response_valid`` (Bool): all chosen sides, then all rejected ones, then the mismatched
            responses; ``counted``, and ``imitated`` with the beginning that both sides share, Bool[R, T];
            ``reference``, Float[R], and ``token_rewards``, Float[R, T],
            if the examples have them; and ``labels``, Float[N, 2], by which a trainer counts pairs.
        """
        rows = [trace for kind in zip(*(each.traces for each in examples), strict=True) for trace in kind]
        batch = self._traces(rows)
        columns = torch.arange(batch["response_ids"].shape[1])
        begun = torch.tensor([each.pair.shared for each in examples]).repeat(len(rows) // len(examples))
        batch["imitated"] = batch.pop("labels")[:, 1:] != IGNORE_INDEX
        batch["counted"] = batch["imitated"] & (columns >= begun[:, None])
        batch["labels"] = torch.tensor([[IGNORE_INDEX, 1.0]] * len(examples))
        known = [each.reference for each in examples if each.reference is not None]
        if known:
            kinds = ("chosen", "rejected", "mismatched")[: len(rows) // len(examples)]
            batch["reference"] = torch.tensor([getattr(sums, kind) for kind in kinds for sums in known])
        paid = [each.rewards for each in examples if each.rewards is not None]
        if paid:
            batch["token_rewards"] = torch.zeros(batch["counted"].shape)
            for number, of_ids in enumerate(side for kind in zip(*paid, strict=True) for side in kind):
                batch["token_rewards"][number, : len(of_ids)] = torch.tensor(of_ids)
        return batch


def hold_out(rows: Sequence[PairRow], share: float, seed: int) -> tuple[list[PairRow], list[PairRow]]:
    """Return the pairs of problems to train on, and those of problems that are held out.

    Args:
        rows: All pairs.
        share: Share of the problems that is held out, at least 0 and below 1; at least one unless it is 0.
        seed: Seed of the draw.

    Raises:
        DataError: Some are to be held out, and there is only one problem.
    """
    problems = sorted({tuple(row.prompt_ids) for row in rows})
    if not share:
        return list(rows), []
    if len(problems) < 2:
        raise DataError(
            "All pairs are of one problem, and some problems are to be held out.",
            "Give pairs of two problems or more, or --held-out 0.",
        )
    count = min(len(problems) - 1, max(1, round(share * len(problems))))
    order = np.random.default_rng(seed).permutation(len(problems))
    out = {problems[number] for number in order[:count]}
    kept, held = ([row for row in rows if (tuple(row.prompt_ids) in out) is which] for which in (False, True))
    return kept, held


def mismatch(rows: Sequence[PairRow], seed: int) -> list[Example]:
    """Return pairs with mismatched responses: those of the next pair of another problem, in a drawn order.

    Chosen and rejected sides serve alternately. A pair's beginning is a part of its prompt, so it stands
    before the mismatched response, too.

    Args:
        rows: The pairs.
        seed: Seed of the order.

    Raises:
        DataError: All pairs are of one problem.
    """
    if len({tuple(row.prompt_ids) for row in rows}) < 2:
        raise DataError(
            "All pairs are of one problem, and KTO compares with answers to another one.",
            "Give pairs of two problems or more, or another --objective.",
        )
    order = np.random.default_rng([seed, 31]).permutation(len(rows)).tolist()
    examples: list[Example | None] = [None] * len(rows)
    for place, number in enumerate(order):
        row = rows[number]
        others = (rows[order[(place + step) % len(order)]] for step in range(1, len(order)))
        other = next(pair for pair in others if pair.prompt_ids != row.prompt_ids)
        examples[number] = Example(row, _continued(row, other, other.sides[place % 2]))
    return [example for example in examples if example is not None]


def _continued(row: PairRow, other: PairRow, side: TraceRow) -> TraceRow:
    """The beginning of a row, with what a side of another one has behind its beginning."""
    ids = row.chosen_ids[: row.shared] + side.response_ids[other.shared :]
    if row.chosen_erased is None and side.erased is None:
        return TraceRow(row.prompt_ids, ids)
    later = side.erased or [False] * len(side.response_ids)
    return TraceRow(row.prompt_ids, ids, [False] * row.shared + later[other.shared :])


def refuse_uncounted(examples: Sequence[Example], collator: PairCollator) -> None:
    """Refuse pairs of which a side has no token that counts.

    Raises:
        DataError: A side is empty once erased tokens and the shared beginning are left out.
    """
    for first in range(0, len(examples), ROWS_AT_ONCE):
        some = [replace(each, mismatched=None, reference=None) for each in examples[first:][:ROWS_AT_ONCE]]
        counts = collator(some)["counted"].sum(1).reshape(2, -1)
        for name, side in zip(SIDES, counts.tolist(), strict=True):
            if 0 in side:
                raise DataError(
                    f"Pair {first + side.index(0)}: of the {name} side no token counts, as all that the "
                    "sides do not share is taken back.",
                    "Drop the pair, or count what is taken back, too (--erased-tokens keep).",
                )
