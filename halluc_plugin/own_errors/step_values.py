"""Compute values of the steps of a model's own answers, on which a process reward model is trained.

Each problem is answered k times by a policy, answers are cut into steps, and prefixes are continued by the
same policy. Labels are soft, the Monte-Carlo return-to-go of OpenReview hJ2BCYGvFg, section 2 and A.4, or
hard, as in P. Wang et al., "Math-Shepherd" (arXiv 2312.08935, section 3.3): 1 if any continuation is
right. The prefixes that are continued are all of them, a share of them, or those that OmegaPRM's binary
searches look at (:mod:`halluc_plugin.scorers.rollout_tree`).

Deviations:

1. The value of the bare prompt is known too: it is the share of right answers, at no further cost.
2. Equal prefixes of a problem's answers are continued once, and share the value.
3. A hard label is also 1 if a right response that begins with the prefix was sampled from another prefix, as
   it is a right continuation all the same.
4. After a prefix without a right continuation, prefixes that were not continued have the value 0, unless a
   right response begins with them. (OmegaPRM does so after the first error.)
5. If the policy is never or always right on a problem, a binary search has nothing to find: the answers
   become rows with the values that are known. OmegaPRM leaves such problems out.
6. An answer that does not end counts as wrong for the bare prompt, and gives no row.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.sampling.driver import Sampler, run
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Response, Search, Space
from halluc_plugin.scorers.monte_carlo import Probing, check_continuations
from halluc_plugin.scorers.rollout_tree import search_errors
from halluc_plugin.scorers.rollouts import Prefix, Rollouts, judge_of, step_prefixes


class Labels(StrEnum):
    """The kind of value of a prefix."""

    SOFT = "soft"
    """The value is the share of right continuations."""
    HARD = "hard"
    """The value is 1 if any continuation is right, else 0."""


@dataclass(frozen=True)
class ValueSettings:
    """How answers are sampled and valued.

    Args:
        answers: Number k of answers to each problem.
        continuations: Number n of continuations of each prefix.
        labels: The kind of value of a prefix.
        probing: The prefixes that are continued.
        partials: Share of the prefixes that are continued, drawn at random; only for :attr:`Probing.EACH`.
        searches: Largest number of binary searches for a problem, None for as many as answers; only for
            :attr:`Probing.BINARY`.

    Raises:
        SettingsError: A value is out of range, or has no meaning together with another.
    """

    answers: int = 4
    continuations: int = 8
    labels: Labels = Labels.SOFT
    probing: Probing = Probing.EACH
    partials: float = 1.0
    searches: int | None = None

    def __post_init__(self) -> None:
        if self.answers < 1 or (self.searches is not None and self.searches < 1):
            raise SettingsError(f"{self.answers} answers, {self.searches} searches.", "Give at least 1.")
        if not 0 < self.partials <= 1:
            raise SettingsError(
                f"The share of partial solutions that are continued is {self.partials}.",
                "Give one above 0 and at most 1.",
            )
        if self.probing is Probing.BINARY and self.partials < 1:
            raise SettingsError(
                "A binary search chooses what it continues; a share of it has no meaning.",
                "Leave --partials out, or use --method each.",
            )
        if self.probing is Probing.EACH and self.searches is not None:
            raise SettingsError("--searches has no meaning for --method each.", "Use --method binary.")


@dataclass(frozen=True)
class StepValues:
    """Makes the rows of a part of a file: a model's answers with the values of their prefixes.

    Attributes:
        sampler: The model that answers and continues.
        space: The space in which it is sampled.
        tokenizer: The model's tokenizer.
        settings: How answers are sampled and valued.
        seed: Seed of the drawn prefixes, and of the samples if the sampler can be seeded.

    Raises:
        SettingsError: All samples would be the same, or there would be none.
    """

    sampler: Sampler
    space: Space
    tokenizer: Any
    settings: ValueSettings
    seed: int

    def __post_init__(self) -> None:
        check_continuations(self.settings.continuations, self.space)

    def __call__(
        self, number: int, problems: Sequence[PosedProblem]
    ) -> tuple[list[dict[str, Any]], Counter[str]]:
        """Rows and counts; an answer that comes twice gives one row.

        Raises:
            DataError: In the first part no answer ends, or none has more than one step.
        """
        seed_part(self.sampler, self.seed, number)
        valued = [
            _Valued(
                problem,
                Rollouts(problem.prompt, self.space, judge_of(problem, self.tokenizer)),
                self.settings,
                np.random.default_rng([self.seed, 7, number, index]),
            )
            for index, problem in enumerate(problems)
        ]
        found = run(
            [each.search() for each in valued], [each.problem.prompt for each in valued], self.sampler
        )
        rows = [asdict(row) for each in valued for row in each.rows()]
        counts = Counter(dict.fromkeys(("answers", "right", "wrong", "unfinished"), 0))
        for each in valued:
            counts.update(each.counts())
        counts.update(tokens=sum(result.cost.tokens for result in found))
        if number == 0:
            self._refuse_what_is_no_answer(rows, counts)
        return rows, counts

    def _refuse_what_is_no_answer(self, rows: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> None:
        """Say at once, and not after hours, that nothing can come of it."""
        if counts["unfinished"] == counts["answers"]:
            raise DataError(
                f"None of the first {counts['answers']} answers ends within {self.space.max_tokens} tokens.",
                "Allow longer answers (--max-tokens), or use a model that ends them.",
            )
        if rows and all(len(row["step_ids"]) == 1 for row in rows):
            raise DataError(
                "None of the first answers has more than one step, so there is no step to value.",
                "Give the text that ends a step in this model's answers (--step-delimiter).",
            )


@dataclass
class _Valued:
    """One problem."""

    problem: PosedProblem
    rollouts: Rollouts
    settings: ValueSettings
    rng: np.random.Generator

    def search(self) -> Search:
        rollouts, asked = self.rollouts, self.settings
        yield from rollouts.completed([()], asked.answers)
        self._answers = list(rollouts.found)
        if asked.probing is Probing.EACH:
            yield from rollouts.completed(self._drawn(), asked.continuations)
            self._rated = [answer.ids for answer in self._answers]
        else:
            searches = asked.answers if asked.searches is None else asked.searches
            searched = yield from search_errors(rollouts, asked.continuations, searches)
            hopeless = not rollouts.states[()].right
            self._rated = [answer.ids for answer in self._answers if answer.right or hopeless]
            self._rated += [rollout.ids for rollout in searched]
        return [Response(ids) for ids in self._rated]

    def _drawn(self) -> list[Prefix]:
        """The prefixes that are continued."""
        steps = self.rollouts.space.steps
        all_ = dict.fromkeys(p for answer in self._answers for p in step_prefixes(steps(answer.ids))[1:-1])
        share = self.settings.partials
        return [prefix for prefix in all_ if share == 1 or self.rng.random() < share]

    def rows(self) -> Iterable[ValueRow]:
        right = self.rollouts.on_right_paths()
        for ids in dict.fromkeys(self._rated):
            steps = self.rollouts.space.steps(ids)
            prefixes = step_prefixes(steps)
            known = (self.rollouts.states[prefix] for prefix in prefixes if prefix in self.rollouts.states)
            yield ValueRow(
                self.problem.data_source,
                list(self.problem.prompt),
                [list(step) for step in steps],
                self._values(prefixes, right),
                correct=self.rollouts.judge(ids),
                rollouts=sum(state.sampled for state in known),
            )

    def _values(self, prefixes: Sequence[Prefix], right: set[Prefix]) -> list[float | None]:
        values: list[float | None] = []
        lost = False
        for prefix in prefixes:
            value = self.rollouts.value(prefix)
            if prefix in right:
                lost = False
                values.append(1.0 if self.settings.labels is Labels.HARD else value)
                continue
            lost = lost or value == 0
            values.append(0.0 if lost else value)
        return values

    def counts(self) -> Mapping[str, int]:
        right = sum(answer.right for answer in self._answers)
        asked = self.rollouts.states[()].sampled
        return {
            "answers": asked,
            "right": right,
            "wrong": len(self._answers) - right,
            "unfinished": asked - len(self._answers),
            "prefixes": len(self.rollouts.states) - 1,
            "continuations": sum(state.sampled for state in self.rollouts.states.values()) - asked,
        }
