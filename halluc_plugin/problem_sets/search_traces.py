"""Raw traces of searches: into dead ends, on until they are noticed, and back, to a right answer always.

In soft context a model sees what it has tried, and traces may remember it. In hard context the live text is
all there is: what is done in a state must not depend on how it was reached. Such traces have no memory, and
every edit of theirs lands where the next action is the same as if nothing had been there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.options import option
from halluc_plugin.problem_sets.raw_traces import BacktrackTrace
from halluc_plugin.problem_sets.search import SearchStep, SearchTask
from halluc_plugin.problem_sets.step_traces import Pairing
from halluc_plugin.problem_sets.steps import Problem

StateT = TypeVar("StateT")

ATTEMPTS = 100
"""Walks that are drawn of one problem before it is left without a trace: longer ones are dropped."""


class Notice(StrEnum):
    """When a dead end is noticed; where no step is left, in any case."""

    AT_ONCE = "at-once"
    CONTRADICTION = "contradiction"
    """When the live text shows it."""
    LATE = "late"
    """A number of steps after it was entered."""


class Back(StrEnum):
    """How far it is taken back."""

    STEP = "step"
    """The last step, and so on for as long as what is left is known to be dead."""
    CHOICE = "choice"
    """To the last state from which a right answer can be reached."""
    RESTART = "restart"
    """All."""


class SearchEdit(StrEnum):
    """Which edit tokens take back."""

    TOKEN = "token"  # noqa: S105 - a kind of edit
    """One backtrack for each token."""
    STEP = "step"
    """One step backtrack for each line."""
    RESTART = "restart"
    """One restart."""


class Memory(StrEnum):
    """Whether what was tried decides what is tried next."""

    TRIED = "tried"
    """A step that led nowhere is not proposed again, but for a share of repeats."""
    NONE = "none"
    """Each visit of a state is like the first."""


class Proposal(StrEnum):
    """How a step is chosen."""

    RATE = "rate"
    """From a live state, by chance into a dead end or not."""
    UNIFORM = "uniform"
    """All steps that a state allows are alike."""


class DeadEnd(StrEnum):
    """What was taken back."""

    NEW = "dead_end"
    REPEATED = "repeated"
    """A dead end that had been taken back before."""


@dataclass(frozen=True)
class SearchTraceSettings:
    """What search traces look like.

    Args:
        pairing: How traces go with problems.
        memory: Whether what was tried decides what is tried next: ``tried`` for soft context, ``none`` for
            hard context.
        proposal: How a step is chosen.
        rate: With ``proposal=rate``, the probability that a step from a live state leads into a dead end,
            where both are possible.
        notice: When a dead end is noticed.
        late: For ``notice=late``, steps from the one into the dead end to its notice.
        back: How far it is taken back.
        edit: Which edit tokens take back.
        repeats: With a memory, the probability that a step from a state is one that was tried there in vain:
            without any, the number of tries would tell that the last one is right.
        tries: Most times that something is taken back in a trace; longer ones are drawn anew. In hard context
            few do and cost less. In soft context a model counts: where the longest traces end, the last line
            is always right, and is accepted unchecked.

    Raises:
        SettingsError: A value is out of range, or some do not go together.
    """

    pairing: Pairing = option(
        Pairing.SINGLE,
        "single: one trace of each problem; paired: a clean trace of each problem and backtracking ones.",
    )
    memory: Memory = option(
        Memory.TRIED, "Whether what was tried decides what is tried next (tried: soft context; none: hard)."
    )
    proposal: Proposal = option(Proposal.RATE, "Steps into dead ends: at a rate, or all steps uniform.")
    rate: float = option(0.6, "Probability that a step leads into a dead end, where it can.")
    notice: Notice = option(Notice.CONTRADICTION, "When a dead end is noticed.")
    late: int = option(1, "Steps from a dead end to its notice, for --notice late.")
    back: Back = option(Back.CHOICE, "How far is taken back.")
    edit: SearchEdit = option(SearchEdit.STEP, "What takes back: an edit for each token, step, or restart.")
    repeats: float = option(0.0, "With a memory, probability to try again what was tried in vain.")
    tries: int = option(16, "Most times that a trace takes back.")

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise SettingsError(
                f"The rate of steps into dead ends is {self.rate}.", "Give a probability above 0 and below 1."
            )
        if not 0 <= self.repeats < 1:
            raise SettingsError(
                f"The share of repeats is {self.repeats}.", "Give a probability of at least 0 and below 1."
            )
        for name in ("late", "tries"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give an integer of at least 1.")
        if (self.back is Back.RESTART) is not (self.edit is SearchEdit.RESTART):
            raise SettingsError(
                f"What is taken back is {self.back}, and what takes back is {self.edit}.",
                "A restart deletes everything, and nothing else does: give back=restart and edit=restart.",
            )
        if self.memory is Memory.NONE:
            self._check_memoryless()

    def _check_memoryless(self) -> None:
        if self.repeats:
            raise SettingsError(
                f"The share of repeats is {self.repeats}, and nothing is remembered.", "Set it to 0."
            )
        if self.edit is SearchEdit.TOKEN:
            raise SettingsError(
                "Backtracks by token pass through beginnings of lines, from which a memoryless trace would "
                "go on as it did before.",
                "Take back by step or by restart, or remember what was tried.",
            )
        if self.edit is SearchEdit.STEP and self.notice is not Notice.AT_ONCE:
            raise SettingsError(
                f"With notice={self.notice}, step backtracks pass through states in which nothing was "
                "noticed on the way there, and what a memoryless trace does must not depend on the way.",
                "Notice dead ends at once, or take back all by a restart.",
            )


@dataclass
class _Walk(Generic[StateT]):
    """A trace that is being written: the live lines, what was tried, and what was taken back."""

    ids: list[int]
    live: list[tuple[SearchStep[StateT], tuple[int, ...]]]
    tried: set[tuple[str, ...]]
    kinds: list[DeadEnd]

    @property
    def path(self) -> tuple[str, ...]:
        """The live lines."""
        return tuple(step.text for step, _ in self.live)


class SearchTraceWriter(Generic[StateT]):
    """Writes traces in the ids of one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with the edit tokens that ``settings`` need.
        vocab: Its edit tokens.
        search: The task.
        settings: What the traces look like.

    Raises:
        EditVocabError: There is no token for the edits that are wanted.
    """

    def __init__(
        self,
        tokenizer: Any,
        vocab: EditVocab,
        search: SearchTask[StateT],
        settings: SearchTraceSettings,
    ) -> None:
        from halluc_plugin.traces.writing import deletion

        self._tokenizer, self._vocab, self._search, self._settings = tokenizer, vocab, search, settings
        self._kind = EditKind[settings.edit.name.replace("TOKEN", "BACKTRACK")]
        deletion((0,), self._kind, vocab)  # refuses a vocabulary without the token
        self._lines: dict[str, tuple[int, ...]] = {}

    def clean(self, problem: Problem) -> tuple[int, ...]:
        """The reference answer, then EOS."""
        lines = (token for step in problem.steps for token in self._encode(step))
        return (*lines, self._tokenizer.eos_token_id)

    def backtracking(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace | None:
        """A trace with at least one dead end; None where none was met in a number of attempts."""
        return self._first(problem, rng, lambda trace: bool(trace.kinds))

    def single(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace:
        """A trace with as many dead ends as are met, or none."""
        found = self._first(problem, rng, lambda _: True)
        return found or BacktrackTrace(self.clean(problem), ())

    def _first(
        self, problem: Problem, rng: np.random.Generator, wanted: Callable[[BacktrackTrace], bool]
    ) -> BacktrackTrace | None:
        for _ in range(ATTEMPTS):
            trace = self._walk(self._search.begin(problem.truth), rng)
            if trace is not None and wanted(trace):
                return trace
        return None

    def _walk(self, begin: StateT, rng: np.random.Generator) -> BacktrackTrace | None:
        """One trace, None where it would take back more often than is wanted."""
        walk: _Walk[StateT] = _Walk([], [], set(), [])
        while True:
            states = [begin, *(step.after for step, _ in walk.live)]
            steps = self._search.steps(states[-1])
            if self._search.dead(states[-1]):
                if self._noticed(states, steps, walk):
                    if len(walk.kinds) == self._settings.tries:
                        return None
                    self._take_back(walk, states)
                    continue
            elif not steps:
                return BacktrackTrace((*walk.ids, self._tokenizer.eos_token_id), tuple(walk.kinds))
            step = self._propose(steps, walk, rng)
            ids = self._encode(step.text)
            walk.live.append((step, ids))
            walk.ids.extend(ids)

    def _noticed(
        self, states: Sequence[StateT], steps: Sequence[SearchStep[StateT]], walk: _Walk[StateT]
    ) -> bool:
        """Whether the last of ``states``, which is dead, is left."""
        path, notice = walk.path, self._settings.notice
        if not steps or all((*path, step.text) in walk.tried for step in steps):
            return True
        if notice is Notice.CONTRADICTION:
            return self._search.contradiction(states[-1])
        alive = self._live_lines(states)
        return notice is Notice.AT_ONCE or len(path) - alive > self._settings.late

    def _live_lines(self, states: Sequence[StateT]) -> int:
        """How many lines there are up to the last state that is not dead; the first one never is."""
        return max(number for number, state in enumerate(states) if not self._search.dead(state))

    def _take_back(self, walk: _Walk[StateT], states: Sequence[StateT]) -> None:
        from halluc_plugin.traces.writing import deletion

        alive = self._live_lines(states)
        # After one step, what is left may be dead and known to be: it is then taken back by the next round.
        keep = {Back.STEP: len(walk.live) - 1, Back.CHOICE: alive, Back.RESTART: 0}[self._settings.back]
        wrong = walk.path[: max(keep, alive) + 1]
        walk.kinds.append(DeadEnd.REPEATED if wrong in walk.tried else DeadEnd.NEW)
        if self._settings.memory is Memory.TRIED:
            walk.tried.add(wrong)
        erased = [token for _, ids in walk.live[keep:] for token in ids]
        walk.ids.extend(deletion(erased, self._kind, self._vocab))
        del walk.live[keep:]

    def _propose(
        self, steps: Sequence[SearchStep[StateT]], walk: _Walk[StateT], rng: np.random.Generator
    ) -> SearchStep[StateT]:
        """The next step, by the rate, what was tried, and chance."""
        path, uniform = walk.path, self._settings.proposal is Proposal.UNIFORM
        tried = [step for step in steps if (*path, step.text) in walk.tried]
        fresh = [step for step in steps if step not in tried]
        dead = [step for step in fresh if self._search.dead(step.after)]
        live = [step for step in fresh if step not in dead]
        if tried and rng.random() < self._settings.repeats:
            among = tried
        elif dead and live:
            into_dead = rng.random() < (len(dead) / len(fresh) if uniform else self._settings.rate)
            among = dead if into_dead else live
        else:
            among = dead or live
        return among[int(rng.integers(len(among)))]

    def _encode(self, text: str) -> tuple[int, ...]:
        if text not in self._lines:
            ids = tuple(self._tokenizer.encode(text, add_special_tokens=False))
            if self._kind is EditKind.STEP and ids[-1] not in self._vocab.step_delimiters:
                raise SettingsError(
                    f"The tokenizer ends the line {text!r} with a token that ends no step.",
                    "Take back by token, or use a tokenizer that has a token for the newline.",
                )
            self._lines[text] = ids
        return self._lines[text]
