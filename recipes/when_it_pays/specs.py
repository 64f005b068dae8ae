"""A trained model of the experiment: what it is asked, what its traces look like, and how it is trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.problem_sets.search_files import SearchProblems
from halluc_plugin.problem_sets.search_trace_settings import (
    Back,
    Memory,
    Notice,
    Proposal,
    SearchEdit,
    SearchTraceSettings,
)
from halluc_plugin.scratch.model import Shape, Size
from halluc_plugin.training.settings import TrainSettings


class Form(StrEnum):
    """The form of a model's answers."""

    CLEAN = "clean"
    """The right answer, and nothing else."""
    BACKWARD = "backward"
    """A line that leads from the goal back to a start, then the answer."""
    SCRATCHPAD = "scratchpad"
    """A line from every start, then the answer."""
    TWIN = "text twin"
    """The traces of ``soft`` with a text mark in the place of the edit: nothing is taken back, and what the
    mark rejects is left out when the answer is read."""
    STREAM = "stream of search"
    """The same searches written out in words: a line "no." takes back the line before it, and nothing is
    erased. This is the format of Stream of Search (arXiv 2404.03683)."""
    SOFT = "soft"
    """Dead ends are taken back by step backtracks, and stay in the context."""
    HARD = "hard"
    """The same traces, of which each action sees only what is live."""

    @property
    def rejects(self) -> bool:
        """Whether answers go into dead ends and reject them."""
        return self in {Form.TWIN, Form.STREAM, Form.SOFT, Form.HARD}

    @property
    def edits(self) -> bool:
        """Whether answers have edits."""
        return self in {Form.SOFT, Form.HARD}

    @property
    def context(self) -> Context:
        """What an action sees."""
        return Context.HARD if self is Form.HARD else Context.SOFT


@dataclass(frozen=True)
class Judge:
    """The judge of the traces, who may err: a start of a known D for reinforcement learning.

    Attributes:
        missed: Probability that a dead end is not noticed.
        false_alarms: Probability that a live line is taken back.
    """

    missed: float = 0.0
    false_alarms: float = 0.0


@dataclass(frozen=True)
class Spec:
    """A model.

    Attributes:
        problems: The kind of problems, without their seed.
        form: The form of its answers.
        steps: Number of optimizer steps.
        rate: Probability that a step of a trace leads into a dead end; None for steps drawn evenly.
        tries: Largest number of times that something is taken back in a trace.
        judge: The judge of the traces.
        decisions: Share of the loss that falls on decisions, for forms that reject.
        erased_tokens: The part of erased tokens in the loss, for forms that reject.
        size: Size of the model.
        max_tokens: Largest number of tokens of an answer, rejected lines included.
        after: The model that it begins with; None for a new one.
    """

    problems: SearchProblems
    form: Form
    steps: int
    rate: float | None = None
    tries: int = 12
    judge: Judge = field(default_factory=Judge)
    decisions: float | None = 0.5
    erased_tokens: ErasedTokens = ErasedTokens.KEEP
    size: Size | Shape = Size.TINY
    max_tokens: int = 130
    after: "Spec | None" = None

    def traces(self) -> SearchTraceSettings:
        """Return the form of the traces: memoryless, so that they suit either context."""
        form = SearchTraceSettings(
            memory=Memory.NONE, notice=Notice.AT_ONCE, proposal=Proposal.UNIFORM,
            back=Back.STEP, tries=self.tries,
            missed=self.judge.missed, false_alarms=self.judge.false_alarms,
            edit=SearchEdit.WORDS if self.form is Form.STREAM else SearchEdit.STEP,
        )  # fmt: skip
        return form if self.rate is None else replace(form, proposal=Proposal.RATE, rate=self.rate)

    def training(self, batch: int, seed: int) -> TrainSettings:
        """Return the settings of training.

        Args:
            batch: Number of traces in an optimizer step.
            seed: Seed of the order of traces.
        """
        plain = TrainSettings(steps=self.steps, save_steps=self.steps, batch_size=batch, seed=seed)
        if not self.form.rejects:
            return plain
        weighs = self.erased_tokens is ErasedTokens.WEIGHT
        return replace(
            plain,
            context=self.form.context,
            erased_tokens=self.erased_tokens,
            shares=LossShares(decisions=self.decisions, erased=ERASED_SHARE if weighs else None),
        )

    def described(self) -> Mapping[str, Any]:
        """Return the model as JSON-able values."""
        return asdict(self) | {"task": self.problems.name}


ERASED_SHARE = 0.25
"""Share of the loss of erased tokens where they have one of their own."""
