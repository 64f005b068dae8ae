"""Turn rows of step values into batches: held-out problems, the targets of each objective, and its loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.edits.builders import IGNORE_INDEX
from halluc_plugin.errors import DataError
from halluc_plugin.scorers.prefixes import Batch, Prefixes, pad_rows, prefixes_of
from halluc_plugin.scorers.saved import Objective
from halluc_plugin.scorers.step_verdicts import logits_at_ends

Example = tuple[ValueRow, ...]
"""The rows that are drawn together: one row, or for the pairwise objective a right one, then a wrong one."""


def by_problem(rows: Sequence[ValueRow]) -> list[list[ValueRow]]:
    """Return the rows grouped by problem.

    Turns belong to the problem whose prompt they begin with, whether its first turns are among the rows or
    were left out, as balance leaves rows out. In files that do not say where turns begin, a prompt that
    begins with another row's prompt is that of a later turn.
    """
    groups: list[list[ValueRow]] = []
    root: list[int] | None = None
    for row in sorted(rows, key=lambda row: row.problem_ids):
        if root is None or row.problem_ids[: len(root)] != root:
            groups.append([])
            root = row.problem_ids
        groups[-1].append(row)
    return groups


def hold_out(
    rows: Sequence[ValueRow], share: float, seed: int
) -> tuple[list[list[ValueRow]], list[list[ValueRow]]]:
    """Return the rows of problems to train on, and those of problems that are held out, by problem.

    Args:
        rows: All rows.
        share: Share of the problems that are held out, above 0 and below 1; at least one problem.
        seed: Seed of the draw.

    Returns:
        The rows of each problem to train on, and of each held-out problem.

    Raises:
        DataError: There are fewer than two problems.
    """
    groups = by_problem(rows)
    if len(groups) < 2:
        raise DataError(
            f"The values are of {len(groups)} problems, and some are to be held out.",
            "Give values of two problems or more.",
        )
    order = np.random.default_rng(seed).permutation(len(groups))
    count = min(len(groups) - 1, max(1, round(share * len(groups))))
    return [groups[number] for number in order[count:]], [groups[number] for number in order[:count]]


def examples(groups: Sequence[Sequence[ValueRow]], objective: Objective) -> list[Example]:
    """Return the training examples: rows, or for the pairwise objective pairs of one problem's rows.

    Every row of a problem with pairs is in at least one pair.

    Args:
        groups: The rows of each problem.
        objective: The training objective.

    Raises:
        DataError: Labels are all right or all wrong, or no problem has both, which pairs need.
    """
    rights = {row.correct for group in groups for row in group}
    if len(rights) < 2:
        which = "right" if rights == {True} else "wrong"
        raise DataError(
            f"All responses are {which}: nothing tells right from wrong ones.",
            "Sample more problems, easier or harder ones, or at another temperature.",
        )
    if objective is not Objective.PAIRWISE:
        return [(row,) for group in groups for row in group]
    pairs: list[Example] = []
    for group in groups:
        right, wrong = ([row for row in group if row.correct is kind] for kind in (True, False))
        if right and wrong:
            count = max(len(right), len(wrong))
            pairs += [(right[i % len(right)], wrong[i % len(wrong)]) for i in range(count)]
    if not pairs:
        raise DataError(
            "No problem has both a right and a wrong response, which the pairwise objective compares.",
            "Sample several responses to each problem.",
        )
    return pairs


def targets(row: ValueRow, objective: Objective) -> list[float | None]:
    """Return the target of each prefix of a row, None for prefixes without one.

    Args:
        row: The row of values.
        objective: The training objective, other than the pairwise one, which has no targets.
    """
    if objective is Objective.OUTCOME:
        return [*[None] * len(row.step_ids), float(row.correct)]
    return list(row.values)


@dataclass(frozen=True)
class ValueCollator:
    """Pads rows on the right, and adds their targets.

    Attributes:
        objective: The training objective.
        pad_id: The id at padding; the mask, never this id, tells what is padding.
    """

    objective: Objective
    pad_id: int

    def __call__(self, drawn: Sequence[Example]) -> dict[str, torch.Tensor]:
        """The batch of N rows of at most L ids and E prefixes.

        Returns:
            ``input_ids`` and ``attention_mask``, Long[N, L]; ``ends``, Long[N, E], the columns in which
            prefixes end; ``labels``, Float[N, 1 + E], behind a column that is ignored (the trainer, counting
            labels, may leave out the first) what prefixes are taught, ``IGNORE_INDEX`` for nothing. Of pairs
            the right rows come first, and ``labels`` are Float[N / 2, 2], one for each.
        """
        rows = [example[place] for place in range(len(drawn[0])) for example in drawn]
        of_ids = prefixes_of([row.prompt_ids for row in rows], [row.step_ids for row in rows])
        batch = pad_rows(of_ids, pad_id=self.pad_id)
        return {
            "input_ids": batch.ids,
            "attention_mask": batch.mask,
            "ends": batch.last,
            "labels": self._labels(rows, of_ids, batch.last.shape[1]),
        }

    def _labels(self, rows: Sequence[ValueRow], of_ids: Sequence[Prefixes], ends: int) -> torch.Tensor:
        if self.objective is Objective.PAIRWISE:
            return torch.tensor([[IGNORE_INDEX, 1.0]] * (len(rows) // 2))
        labels = torch.full((len(rows), 1 + ends), float(IGNORE_INDEX))
        for number, (row, ids) in enumerate(zip(rows, of_ids, strict=True)):
            taught = [IGNORE_INDEX if t is None else t for t in targets(row, self.objective)]
            labels[number, 1 : 1 + len(ids.ends)] = torch.tensor(taught)
        return labels


def losses(
    model: Any, inputs: dict[str, torch.Tensor], objective: Objective, verdicts: tuple[int, int] | None
) -> torch.Tensor:
    """Return the summed loss of a batch, in nats.

    Args:
        model: A token classifier with one label; for verdicts a causal language model.
        inputs: A batch of :class:`ValueCollator`.
        objective: The training objective: soft binary cross-entropy of prefixes (eq. 2 of OpenReview
            hJ2BCYGvFg), the same of the whole response (eq. 3), soft cross-entropy of a verdict token over
            the vocabulary, or -log σ of the difference of the mean Q of the ids of a right and of a wrong
            response (arXiv 2505.23363, with its β = 1 and γ = 0).
        verdicts: Ids of the verdicts wrong and right, for the objective of verdicts; else None.

    Returns:
        The loss, a scalar.
    """
    ids, mask, ends = (inputs[name] for name in ("input_ids", "attention_mask", "ends"))
    labels = inputs["labels"][:, 1:]
    taught = labels != IGNORE_INDEX
    if objective is Objective.VERDICT:
        assert verdicts is not None
        said = logits_at_ends(model, Batch(ids, mask, ends)).log_softmax(-1)
        wrong, right = (said[..., token][taught] for token in verdicts)
        return -(labels[taught] * right + (1 - labels[taught]) * wrong).sum()
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[..., 0].float()
    if objective is Objective.PAIRWISE:
        columns = torch.arange(ids.shape[1], device=ids.device)
        response = mask.bool() & (columns > ends[:, :1])
        means = (logits * response).sum(1) / response.sum(1)
        right, wrong = means.chunk(2)
        return -logsigmoid(right - wrong).sum()
    read = logits.gather(1, ends)
    return binary_cross_entropy_with_logits(read[taught], labels[taught], reduction="sum")
