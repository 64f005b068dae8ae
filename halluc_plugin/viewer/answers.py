"""The one form of an answer that is looked at, whoever kept it; what a source did not keep is None."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from halluc_plugin.edits import TraceRecord
from halluc_plugin.errors import DataError
from halluc_plugin.run_charts import Chart
from halluc_plugin.tokens import EDIT_TOKENS
from halluc_plugin.verifiers import Outcome


class Flip(StrEnum):
    """What edits made of an answer, by its verdict without them and with them."""

    NONE = "none"
    """It takes nothing back, stayed wrong, or was not judged twice."""
    TO_CORRECT = "to_correct"
    """Wrong without its edits, right with them."""
    TO_INCORRECT = "to_incorrect"
    """Right without its edits, wrong with them."""
    UNNECESSARY = "unnecessary"
    """Right without them, too."""


class Kind(StrEnum):
    """What kept the answers."""

    RUN = "run"
    """The trace log of a training run."""
    LM_EVAL = "lm-eval"
    """Files of lm-eval's ``--log_samples``."""
    TRACES = "traces"
    """A parquet file of raw traces."""
    SEARCH = "search"
    """What ``halluc search --out`` wrote."""


@dataclass(frozen=True)
class ShownAnswer:
    """One answer of T actions.

    Attributes:
        answer: Its name, unique in its source and step.
        prompt: Text of the prompt.
        tokens: What each action adds to the text as sampled. Where no tokenizer is known: the text in pieces,
            edit tokens apart.
        record: What became of each action; None where the ids are not known.
        step: Training step.
        group: Name of what it shares with the other answers to its prompt.
        data_source: Of its problem.
        outcome: Its verdict; None where nothing judged it.
        first_outcome: The verdict without its edits: of an answer sampled without; else of the text before
            its first edit, where the verifier judges prefixes (fine stands for right); else of the raw text.
        reward: What it was paid.
        advantages: Of each action.
        response_mask: 1 for each action that learns, else 0.
        log_probs: Of each action, in nats.
        entropies: Of the policy before each action, in nats.
        edit_probs: Probability of an edit before each action.
        event_values: Value before and after each event.
        verdicts: Whether the verifier finds the prefix before each action fine, and one more for the end.
        scores: Other figures by name.
        text: What is left, decoded as a whole.
    """

    answer: str
    prompt: str
    tokens: Sequence[str]
    record: TraceRecord | None = None
    step: int | None = None
    group: str | None = None
    data_source: str | None = None
    outcome: Outcome | None = None
    first_outcome: Outcome | None = None
    reward: float | None = None
    advantages: Sequence[float] | None = None
    response_mask: Sequence[int] | None = None
    log_probs: Sequence[float | None] | None = None
    entropies: Sequence[float | None] | None = None
    edit_probs: Sequence[float | None] | None = None
    event_values: Sequence[tuple[float, float]] | None = None
    verdicts: Sequence[bool | None] | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    text: str | None = None

    @cached_property
    def is_edit(self) -> list[bool]:
        """Of each action, whether it is an edit."""
        if self.record is None:
            return [token in EDIT_TOKENS for token in self.tokens]
        fates = zip(self.record.live, self.record.erased_at, strict=True)
        return [not live and erased_at is None for live, erased_at in fates]

    @property
    def edits(self) -> int:
        """How many edit tokens it has."""
        return sum(self.is_edit)

    @property
    def raw_length(self) -> int | None:
        """Number of actions, None where tokens are not known."""
        return None if self.record is None else len(self.record.ids)

    @property
    def deepest(self) -> int | None:
        """Tokens that its widest event erased, None where that is not known."""
        if self.record is None:
            return None
        return max((len(event.erased) for event in self.record.events), default=0)

    @property
    def flip(self) -> Flip:
        """What its edits made of it."""
        effective = self.edits if self.record is None else self.record.num_effective
        if self.outcome is None or self.first_outcome is None or not effective:
            return Flip.NONE
        before, after = self.first_outcome is Outcome.CORRECT, self.outcome is Outcome.CORRECT
        if before:
            return Flip.UNNECESSARY if after else Flip.TO_INCORRECT
        return Flip.TO_CORRECT if after else Flip.NONE

    @property
    def left(self) -> str:
        """What is left, put together from its tokens where it was not kept as a whole."""
        if self.text is not None:
            return self.text
        live = self.record.live if self.record else [not edit for edit in self.is_edit]
        return "".join(token for token, is_live in zip(self.tokens, live, strict=True) if is_live)


_EDITS = re.compile("(" + "|".join(map(re.escape, EDIT_TOKENS)) + ")")


@dataclass(frozen=True)
class Source:
    """Answers that were kept together: of a run, of a model under a task, of a file.

    Attributes:
        name: As it is told apart from others on a page.
        kind: What kept it.
        path: Where it lies.
        answers: The answers.
        skipped: Records that were left out because they are not whole.
        charts: What a run logged, as it is drawn.
        notes: What a reader should know, a sentence each.
    """

    name: str
    kind: Kind
    path: Path
    answers: Sequence[ShownAnswer]
    skipped: int = 0
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()


def judged(score: float | None) -> Outcome | None:
    """The verdict that a score of an answer stands for: right above 0."""
    return None if score is None else Outcome.CORRECT if score > 0 else Outcome.WRONG


def require_one_vocabulary(path: Path, answers: Sequence[ShownAnswer]) -> None:
    """Check that the ids of all answers of a source mean the same.

    Raises:
        DataError: An edit token has two ids, or an id is an edit here and text there.
    """
    ids: dict[str, int] = {}
    texts: dict[int, str] = {}
    for shown in answers:
        if shown.record is None:
            continue
        for token, token_id, edit in zip(shown.tokens, shown.record.ids, shown.is_edit, strict=True):
            if not edit:
                continue
            if ids.setdefault(token, token_id) != token_id:
                clash = f"{token} has the ids {ids[token]} and {token_id}"
            elif texts.setdefault(token_id, token) != token:
                clash = f"the id {token_id} is {texts[token_id]} and {token}"
            else:
                continue
            raise DataError(
                f"{path} mixes vocabularies: {clash}, the latter in the answer {shown.answer}.",
                "Look at the answers of one tokenizer at a time: move the others to a folder of their own.",
            )


def pieces(text: str) -> list[str]:
    """A text whose tokens are not known: edit tokens apart from what is between them."""
    return [piece for piece in _EDITS.split(text) if piece]
