"""The form in which answers are shown, whatever saved them; values that a source lacks are None."""

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
    """The effect of an answer's edits, by its verdict without them and with them."""

    NONE = "none"
    """The answer takes nothing back, stayed wrong, or was not judged twice."""
    TO_CORRECT = "to_correct"
    """The answer is wrong without its edits and right with them."""
    TO_INCORRECT = "to_incorrect"
    """The answer is right without its edits and wrong with them."""
    UNNECESSARY = "unnecessary"
    """The answer is right with its edits, and without them, too."""


class Kind(StrEnum):
    """The kind of source that saved the answers."""

    RUN = "run"
    """The trace log of a training run."""
    LM_EVAL = "lm-eval"
    """Files of lm-eval's ``--log_samples``."""
    TRACES = "traces"
    """A parquet file of raw traces."""
    SEARCH = "search"
    """A file that ``halluc search --out`` wrote."""


@dataclass(frozen=True)
class ShownAnswer:
    """One answer of T actions.

    Attributes:
        answer: Name of the answer, unique in its source and step.
        prompt: Text of the prompt.
        tokens: The text that each action adds to the sampled text. Without a tokenizer, the text in pieces,
            with edit tokens apart.
        record: What became of each action; None if the ids are not known.
        step: Training step.
        group: Name that it shares with the other answers to its prompt.
        data_source: Data source of the problem.
        outcome: Verdict on the answer; None if nothing judged it.
        first_outcome: Verdict without its edits: on an answer sampled without edits if there is one; else on
            the text before its first edit, if the verifier judges prefixes (an ok prefix counts as right);
            else on the raw text.
        reward: Reward of the answer.
        advantages: Advantage of each action.
        response_mask: 1 for each action that contributes to the loss, else 0.
        log_probs: Log-probability of each action, in nats.
        entropies: Entropy of the policy before each action, in nats.
        edit_probs: Probability of an edit before each action.
        event_values: Value before and after each event.
        verdicts: Whether the verifier accepts the prefix before each action, and once more for the end.
        scores: Other figures by name.
        text: The resolved text, decoded as a whole.
        starts: The first action of each sample of a search; None for an answer that is one sample.
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
    starts: Sequence[int] | None = None

    @cached_property
    def is_edit(self) -> list[bool]:
        """Whether each action is an edit."""
        if self.record is None:
            return [token in EDIT_TOKENS for token in self.tokens]
        fates = zip(self.record.live, self.record.erased_at, strict=True)
        return [not live and erased_at is None for live, erased_at in fates]

    @property
    def edits(self) -> int:
        """The number of edit tokens."""
        return sum(self.is_edit)

    @property
    def raw_length(self) -> int | None:
        """The number of actions, None if tokens are not known."""
        return None if self.record is None else len(self.record.ids)

    @property
    def deepest(self) -> int | None:
        """The number of tokens that the widest event erased, None if that is not known."""
        if self.record is None:
            return None
        return max((len(event.erased) for event in self.record.events), default=0)

    @property
    def flip(self) -> Flip:
        """The effect of the edits on the verdict."""
        effective = self.edits if self.record is None else self.record.num_effective
        if self.outcome is None or self.first_outcome is None or not effective:
            return Flip.NONE
        before, after = self.first_outcome is Outcome.CORRECT, self.outcome is Outcome.CORRECT
        if before:
            return Flip.UNNECESSARY if after else Flip.TO_INCORRECT
        return Flip.TO_CORRECT if after else Flip.NONE

    @property
    def left(self) -> str:
        """The resolved text, put together from its tokens if it was not kept as a whole."""
        if self.text is not None:
            return self.text
        live = self.record.live if self.record else [not edit for edit in self.is_edit]
        return "".join(token for token, is_live in zip(self.tokens, live, strict=True) if is_live)


_EDITS = re.compile("(" + "|".join(map(re.escape, EDIT_TOKENS)) + ")")


@dataclass(frozen=True)
class Source:
    """Answers that were saved together: of a run, of a model under a task, or of a file.

    Attributes:
        name: Name that tells it from the other sources of a page.
        kind: The kind of source.
        path: Path of the source.
        answers: The answers.
        skipped: Number of records that were left out because they are incomplete.
        charts: The charts of what a run logged.
        notes: Notes for the reader, a sentence each.
    """

    name: str
    kind: Kind
    path: Path
    answers: Sequence[ShownAnswer]
    skipped: int = 0
    charts: Sequence[Chart] = ()
    notes: Sequence[str] = ()


def judged(score: float | None) -> Outcome | None:
    """Return the verdict for a score of an answer, which is right above 0."""
    return None if score is None else Outcome.CORRECT if score > 0 else Outcome.WRONG


def before_edits(record: TraceRecord, verdicts: Sequence[bool | None] | None) -> Outcome | None:
    """Return the verdict on the text before the first edit that erases something (ok counts as right).

    Args:
        record: The record of an answer.
        verdicts: Verdict on each state of the answer; None if nothing judged the states.

    Returns:
        The verdict; None if it is not known, or if nothing is erased.
    """
    first = next((event.start for event in record.events if event.effective), None)
    fine = None if verdicts is None or first is None else verdicts[first]
    return None if fine is None else Outcome.CORRECT if fine else Outcome.WRONG


def require_one_vocabulary(path: Path, answers: Sequence[ShownAnswer]) -> None:
    """Refuse a source in which an id does not mean the same in all answers.

    Raises:
        DataError: An edit token has two ids, or an id is an edit in one answer and text in another.
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
    """Return a text whose tokens are not known in pieces: edit tokens, and the text between them."""
    return [piece for piece in _EDITS.split(text) if piece]
