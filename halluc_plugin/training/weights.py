"""What each imitated token weighs in the loss, so that decisions and erased tokens get their shares of it.

The weights are the same for all batches: those with which the shares come out over all of the data. They are
1 on average, and a function of the traces alone: the same in soft and in hard context.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from halluc_plugin.edits import Resolution
from halluc_plugin.edits.builders import IGNORE_INDEX
from halluc_plugin.edits.decisions import decisions
from halluc_plugin.losses.shares import LossClass


@dataclass(frozen=True)
class Classes:
    """Tells what is what in N responses of width T.

    Attributes:
        delimiters: Ids that end a step.
        end_ids: Ids that end a response.
    """

    delimiters: frozenset[int]
    end_ids: frozenset[int]

    def of(
        self, resolution: Resolution, labels: torch.Tensor, erased: torch.Tensor
    ) -> dict[LossClass, torch.Tensor]:
        """Bool[N, T] for each class; each imitated token is in one of them.

        Args:
            resolution: The responses.
            labels: Long[N, T], ``IGNORE_INDEX`` where nothing is imitated.
            erased: Bool[N, T], what is taken back.
        """
        imitated = labels != IGNORE_INDEX
        decided = imitated & decisions(resolution, self.delimiters, self.end_ids) & ~erased
        return {
            LossClass.DECISIONS: decided,
            LossClass.ERASED: imitated & erased,
            LossClass.REST: imitated & ~decided & ~erased,
        }


@dataclass(frozen=True)
class Weighing:
    """The weights of one run.

    Attributes:
        classes: Tells what is what.
        weights: What a token of each class weighs.
    """

    classes: Classes
    weights: Mapping[LossClass, float]

    def of(self, resolution: Resolution, labels: torch.Tensor, erased: torch.Tensor) -> torch.Tensor:
        """Float[N, T]: the weight of each action, 0 where nothing is imitated; arguments as above."""
        members = self.classes.of(resolution, labels, erased)
        return sum(
            (member * self.weights[name] for name, member in members.items()), torch.zeros(labels.shape)
        )
