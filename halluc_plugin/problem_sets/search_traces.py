"""Write raw traces of searches: into dead ends, on until they are noticed, back, and to a right answer.

If the judge may err, a trace may also end at a wrong answer that it took for right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from halluc_plugin.edits import EditKind, EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.raw_traces import BacktrackTrace
from halluc_plugin.problem_sets.search import NO, SearchStep, SearchTask
from halluc_plugin.problem_sets.search_trace_settings import (
    Back,
    Memory,
    Notice,
    Proposal,
    SearchEdit,
    SearchTraceSettings,
    TakenBack,
)
from halluc_plugin.problem_sets.steps import Problem

StateT = TypeVar("StateT")

ATTEMPTS = 100
"""Number of walks drawn for one problem before it is left without a trace; walks that are too long are
dropped."""


@dataclass
class _Walk(Generic[StateT]):
    """A trace that is being written: the live lines and their places, what was tried and what taken back."""

    ids: list[int]
    live: list[tuple[SearchStep[StateT], range]]
    tried: set[tuple[str, ...]]
    kinds: list[TakenBack]
    gone: set[int]

    @property
    def path(self) -> tuple[str, ...]:
        """The live lines."""
        return tuple(step.text for step, _ in self.live)


class SearchTraceWriter(Generic[StateT]):
    """Writes search traces in the ids of one tokenizer.

    Args:
        tokenizer: A transformers tokenizer with the edit tokens that ``settings`` need.
        vocab: The edit vocabulary of the tokenizer.
        search: The search task.
        settings: The form of the traces.

    Raises:
        EditVocabError: The tokenizer has no token for the edits that are asked for.
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
        self._words = settings.edit is SearchEdit.WORDS
        # Words take back lines, as step backtracks do.
        named = "STEP" if self._words else settings.edit.name.replace("TOKEN", "BACKTRACK")
        self._kind = EditKind[named]
        if not self._words:
            deletion((0,), self._kind, vocab)  # refuses a vocabulary without the token
        self._lines: dict[str, tuple[int, ...]] = {}

    def clean(self, problem: Problem) -> tuple[int, ...]:
        """Return the token ids of the reference answer, then EOS."""
        lines = (token for step in problem.steps for token in self._encode(step))
        return (*lines, self._tokenizer.eos_token_id)

    def backtracking(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace | None:
        """Return a trace with at least one dead end, None if several attempts met none."""
        return self._first(problem, rng, lambda trace: bool(trace.kinds))

    def single(self, problem: Problem, rng: np.random.Generator) -> BacktrackTrace:
        """Return a trace with as many dead ends as it meets, possibly none."""
        found = self._first(problem, rng, lambda _: True)
        clean = self.clean(problem)
        return found or BacktrackTrace(clean, (), (False,) * len(clean) if self._words else None)

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
        walk: _Walk[StateT] = _Walk([], [], set(), [], set())
        while True:
            states = [begin, *(step.after for step, _ in walk.live)]
            steps = self._search.steps(states[-1])
            if self._judged_wrong(states, steps, walk, rng):
                if len(walk.kinds) == self._settings.tries:
                    return None
                self._take_back(walk, states)
                continue
            if not steps:
                return self._finished(walk)
            step = self._propose(steps, walk, rng)
            ids = self._encode(step.text)
            walk.live.append((step, range(len(walk.ids), len(walk.ids) + len(ids))))
            walk.ids.extend(ids)

    def _finished(self, walk: _Walk[StateT]) -> BacktrackTrace:
        ids = (*walk.ids, self._tokenizer.eos_token_id)
        erased = tuple(place in walk.gone for place in range(len(ids))) if self._words else None
        return BacktrackTrace(ids, tuple(walk.kinds), erased)

    def _judged_wrong(
        self,
        states: Sequence[StateT],
        steps: Sequence[SearchStep[StateT]],
        walk: _Walk[StateT],
        rng: np.random.Generator,
    ) -> bool:
        """Whether something is taken back in the last of ``states``, by a judge who may err."""
        if self._search.dead(states[-1]):
            right, error = self._noticed(states, steps, walk), self._settings.missed
            errs = right  # who does not look yet cannot err
        else:
            right, error = False, self._settings.false_alarms
            errs = bool(walk.live)
        # No number is drawn where nobody errs: traces of a seed stay what they were.
        return right is not (errs and error > 0 and rng.random() < error)

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

        dead = self._search.dead(states[-1])
        alive = self._live_lines(states) if dead else len(walk.live) - 1
        # After one step, what is left may be dead and known to be: it is then taken back by the next round.
        keep = {Back.STEP: len(walk.live) - 1, Back.CHOICE: alive, Back.RESTART: 0}[self._settings.back]
        wrong = walk.path[: max(keep, alive) + 1]
        again = TakenBack.REPEATED if wrong in walk.tried else TakenBack.NEW
        walk.kinds.append(again if dead else TakenBack.LIVE)
        if self._settings.memory is Memory.TRIED:
            walk.tried.add(wrong)
        erased = [place for _, places in walk.live[keep:] for place in places]
        if self._words:
            walk.gone.update(erased)
            walk.ids.extend(self._encode(f"{NO}\n") * (len(walk.live) - keep))
        else:
            walk.ids.extend(deletion([walk.ids[place] for place in erased], self._kind, self._vocab))
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
        if not fresh or (tried and rng.random() < self._settings.repeats):
            among = tried  # nothing fresh is left where the right one was taken back by error, too
        elif dead and live:
            into_dead = rng.random() < (len(dead) / len(fresh) if uniform else self._settings.rate)
            among = dead if into_dead else live
        else:
            among = dead or live
        return among[int(rng.integers(len(among)))]

    def _encode(self, text: str) -> tuple[int, ...]:
        if text not in self._lines:
            ids = tuple(self._tokenizer.encode(text, add_special_tokens=False))
            if self._kind is EditKind.STEP and not self._words and ids[-1] not in self._vocab.step_delimiters:
                raise SettingsError(
                    f"The tokenizer ends the line {text!r} with a token that ends no step.",
                    "Take back by token, or use a tokenizer that has a token for the newline.",
                )
            self._lines[text] = ids
        return self._lines[text]
