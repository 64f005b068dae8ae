"""The arms, each a block of settings that changes one factor for the same supervised model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from halluc_plugin.edits import Context
from halluc_plugin.recipes.self_backtracking.bench import MAX_TOKENS
from halluc_plugin.settings import Settings, load


class Start(StrEnum):
    """The supervised model from which a run starts."""

    CORRECTING = "correcting"
    """Masked fine-tuning on traces that take errors back."""
    CORRECTING_HARD = "correcting, hard"
    """The same traces, of which each action sees only what is live."""
    CLEAN = "clean"
    """The same number of examples and steps without errors: the baseline that has never seen the token
    used."""
    CORRECTING_LOW_RANK = "correcting, low-rank"
    """The clean model with low-rank updates, by as many steps again, on traces that take errors back."""
    CLEAN_LOW_RANK = "clean, low-rank"
    """The same on traces without errors: the baseline of as many steps."""

    @property
    def context(self) -> Context:
        """What actions see after an edit, in training and afterwards."""
        return Context.HARD if self is Start.CORRECTING_HARD else Context.SOFT

    @property
    def clean(self) -> bool:
        """Whether the model has never seen the token used."""
        return self in {Start.CLEAN, Start.CLEAN_LOW_RANK}

    @property
    def baseline(self) -> str:
        """The arm without the token that has had as many supervised steps."""
        return LOW_RANK_BASELINE if self in {Start.CORRECTING_LOW_RANK, Start.CLEAN_LOW_RANK} else BASELINE


class Plan(StrEnum):
    """How the problems of a step are chosen."""

    EASIEST = "easiest first"
    """A third of the problems first, those that the start answers best; then two thirds, then all."""
    HARDEST = "hardest first"
    REVERSE = "reverse"
    """From states near the goal: answers begin with two thirds of a right trace, then one, then nothing."""


@dataclass(frozen=True)
class Arm:
    """One run.

    Attributes:
        start: The model with its first weights.
        block: The ``halluc:`` block.
        reference: The arm from which it differs in one setting; empty if it is compared with its start.
        plan: How problems are chosen; None for any order.
    """

    start: Start
    block: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    plan: Plan | None = None

    @property
    def described(self) -> dict[str, Any]:
        """All of it, JSON-able; what came later only where it is used."""
        told = asdict(self)
        if self.plan is None:
            del told["plan"]
        return told

    @property
    def settings(self) -> Settings:
        """The settings of the block."""
        return load(self.block)


BASELINE, DEFAULT, KEEP = "baseline", "outcome, mask", "outcome, keep"
HARD, HARD_KEEP = "hard, mask", "hard, keep"
LOW_RANK, LOW_RANK_BASELINE = "low-rank, mask", "low-rank baseline"


def _arm(reference: str = DEFAULT, **block: Any) -> Arm:
    hard = block.get("context") == Context.HARD
    return Arm(Start.CORRECTING_HARD if hard else Start.CORRECTING, block, reference)


PRESETS = ("edits", "tempo", "t_spmo", "s_grpo", "treerpo", "vineppo", "pure", "capo")
"""The arms of credit presets, by the names of their files."""
FILES = Path(__file__).parents[1] / "halluc" / "credit"


def _preset(name: str) -> Arm:
    # The trainer here samples no continuations, so whatever judges states is the verifier.
    block = yaml.safe_load((FILES / f"{name}.yaml").read_text(encoding="utf-8"))
    return _arm(HARD_KEEP, context="hard", erased_tokens="keep", credit=block.get("credit", block))


_KEPT = {"context": "hard", "erased_tokens": "keep"}
_BUDGETS = [{"steps": 50, "max_backtracks": 6}, {"steps": 50, "max_backtracks": 12}, {}]
_COST = {
    "weights": {"outcome": 1.0, "length_cost": 0.2},
    "parameters": {"length_cost": {"horizon": MAX_TOKENS}},
}
_COURSES: dict[str, Arm] = {
    "budgets, hard": _arm(HARD_KEEP, **_KEPT, curriculum=_BUDGETS),
    **{str(plan): Arm(Start.CORRECTING_HARD, _KEPT, HARD_KEEP, plan) for plan in Plan},
    "length cost": _arm(HARD_KEEP, **_KEPT, reward=_COST),
}
CURRICULA = tuple(_COURSES)
"""The arms of curricula, and of a reward that pays for being short."""

# The baseline must not discover the token by chance: its edits are banned, in sampling and in training.
# A budget counts deleted tokens. More than half of the events delete three or more, and a quarter of the
# answers that backtrack more than five in all: smaller stages would cut corrections off in their middle.
ARMS: dict[str, Arm] = {
    BASELINE: Arm(Start.CLEAN, {"max_backtracks": 0}),
    DEFAULT: Arm(Start.CORRECTING),
    KEEP: _arm(erased_tokens="keep"),
    "outcome, negative": _arm(erased_tokens="negative"),
    "credit, verifier": _arm(credit={"alpha": 0.5}),
    "credit, prefix tree": _arm(credit={"alpha": 0.5, "values": "prefix_tree"}),
    "process": _arm(reward={"weights": {"outcome": 1.0, "process": 0.5}}),
    "shaped": _arm(reward={"weights": {"outcome": 1.0, "format": 0.1, "backtrack": 1.0}}),
    "n-mars": _arm(reward={"weights": {"n_mars": 1.0}}),
    "score bonus, keep": _arm(
        KEEP, erased_tokens="keep", reward={"weights": {"outcome": 1.0, "score_bonus": 10.0}}
    ),
    "curriculum": _arm(curriculum=_BUDGETS),
    HARD: _arm(context="hard"),
    HARD_KEEP: _arm(HARD, context="hard", erased_tokens="keep"),
    "hard, credit": _arm(HARD, context="hard", credit={"alpha": 0.5}),
    LOW_RANK_BASELINE: Arm(Start.CLEAN_LOW_RANK, {"max_backtracks": 0}),
    LOW_RANK: Arm(Start.CORRECTING_LOW_RANK),
    "low-rank, credit": Arm(Start.CORRECTING_LOW_RANK, {"credit": {"alpha": 0.5}}, LOW_RANK),
    **{name: _preset(name) for name in PRESETS},
    **_COURSES,
}
