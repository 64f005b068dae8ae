"""One factor at a time: each arm is a block of settings on top of the same supervised model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from halluc_plugin.settings import Settings, load


class Start(StrEnum):
    """What a run starts from."""

    CORRECTING = "correcting"
    """Masked fine-tuning on traces that take errors back."""
    CLEAN = "clean"
    """As many examples and steps without errors: the baseline that has never seen the token used."""


@dataclass(frozen=True)
class Arm:
    """One run.

    Attributes:
        start: Its first weights.
        block: The ``halluc:`` block.
    """

    start: Start
    block: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The block, read."""
        return load(self.block)


BASELINE, REFERENCE = "baseline", "outcome, mask"
# The baseline may not discover the token by chance: its edits are banned, in sampling and in training.
ARMS: dict[str, Arm] = {
    BASELINE: Arm(Start.CLEAN, {"max_backtracks": 0}),
    REFERENCE: Arm(Start.CORRECTING),
    "outcome, keep": Arm(Start.CORRECTING, {"erased_tokens": "keep"}),
    "outcome, negative": Arm(Start.CORRECTING, {"erased_tokens": "negative"}),
    "credit, verifier": Arm(Start.CORRECTING, {"credit": {"alpha": 0.5}}),
    "credit, prefix tree": Arm(Start.CORRECTING, {"credit": {"alpha": 0.5, "values": "prefix_tree"}}),
    "process": Arm(Start.CORRECTING, {"reward": {"weights": {"outcome": 1.0, "process": 0.5}}}),
    "shaped": Arm(
        Start.CORRECTING, {"reward": {"weights": {"outcome": 1.0, "format": 0.1, "backtrack": 1.0}}}
    ),
    "score bonus, keep": Arm(
        Start.CORRECTING,
        {"reward": {"weights": {"outcome": 1.0, "score_bonus": 10.0}}, "erased_tokens": "keep"},
    ),
    "n-mars": Arm(Start.CORRECTING, {"reward": {"weights": {"n_mars": 1.0}}}),
    "curriculum": Arm(
        Start.CORRECTING,
        {"curriculum": [{"steps": 50, "max_backtracks": 2}, {"steps": 50, "max_backtracks": 5}, {}]},
    ),
}
