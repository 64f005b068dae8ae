"""Set the shares of an imitation loss that go to decisions and to erased tokens."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from halluc_plugin.errors import DataError, SettingsError


class LossClass(StrEnum):
    """The class of an imitated token; each token has exactly one."""

    DECISIONS = "decisions"
    """An edit, an end, or the beginning of a step after a finished one."""
    ERASED = "erased"
    """Text that is taken back."""
    REST = "rest"
    """All other text."""


@dataclass(frozen=True)
class LossShares:
    """Shares of an imitation loss: of the sum of the weights of all imitated tokens; for fine-tuning alone.

    Args:
        decisions: Share of decisions (edits, ends, and the beginnings of steps after other steps); null if
            all tokens count alike.
        erased: Share of erased tokens, with ``erased_tokens=weight``.

    Raises:
        SettingsError: A share is out of range, or the shares add to more than 1.
    """

    decisions: float | None = None
    erased: float | None = None

    def __post_init__(self) -> None:
        for name, share in self.given.items():
            if not 0 < share <= 1:
                raise SettingsError(
                    f"The share of the loss of {name} is {share}.",
                    "Give a number above 0 and of at most 1, or leave it out.",
                )
        if sum(self.given.values()) > 1:
            raise SettingsError(
                f"Shares of the loss add to {sum(self.given.values()):g}: {self.given}.",
                "Give shares that add to 1 at most; the rest goes to the rest of the text.",
            )

    @property
    def given(self) -> dict[str, float]:
        """The shares that are set, by class."""
        return {name: share for name, share in asdict(self).items() if share is not None}

    def weights(self, counts: Mapping[LossClass, int]) -> dict[LossClass, float]:
        """Return the weight of a token of each class that gives the classes their shares; 1 on average.

        Args:
            counts: Number of imitated tokens of each class in the whole data.

        Raises:
            DataError: A class that is to have a share has no tokens.
        """
        total, given = sum(counts.values()), {LossClass(name): share for name, share in self.given.items()}
        for name, share in given.items():
            if not counts.get(name):
                raise DataError(
                    f"Of the loss {share} is to go to {name} tokens, and the traces have none.",
                    "Leave the share out, or train on traces that have some.",
                )
        others = sum(count for name, count in counts.items() if name not in given)
        left = (1 - sum(given.values())) * total / others if others else 0.0
        return {name: given[name] * total / counts[name] if name in given else left for name in LossClass}
