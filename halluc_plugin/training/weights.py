"""Compute the weight of each imitated token that gives decisions and erased tokens their shares of the loss.

The weights are the same for all batches, and give the shares over all of the data. They are 1 on average and
depend on the traces alone, so that they are the same in soft and in hard context.
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
    """Finds the class of each imitated token in N responses of width T.

    Attributes:
        delimiters: Ids that end a step.
        end_ids: Ids that end a response.
    """

    delimiters: frozenset[int]
    end_ids: frozenset[int]

    def of(
        self, resolution: Resolution, labels: torch.Tensor, erased: torch.Tensor
    ) -> dict[LossClass, torch.Tensor]:
        """Return the tokens of each class, Bool[N, T]; each imitated token is in exactly one class.

        Args:
            resolution: The resolution of the responses.
            labels: The ids to imitate, Long[N, T], ``IGNORE_INDEX`` where nothing is imitated.
            erased: Which tokens are taken back, Bool[N, T].
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
    """The weights of the tokens in one run.

    Attributes:
        classes: Finds the class of each token.
        weights: The weight of a token of each class.
    """

    classes: Classes
    weights: Mapping[LossClass, float]

    def of(self, resolution: Resolution, labels: torch.Tensor, erased: torch.Tensor) -> torch.Tensor:
        """Return the weight of each action, Float[N, T], 0 where nothing is imitated.

        The arguments are those of :meth:`Classes.of`.
        """
        members = self.classes.of(resolution, labels, erased)
        return sum(
            (member * self.weights[name] for name, member in members.items()), torch.zeros(labels.shape)
        )
