"""Choose the problems of a step by a plan: by difficulty, or from states near the goal.

A course has stages of equal length. It is a pure function of the step, so that a resumed run is where it was;
in the last stage all problems are asked as they are, whatever the course.

The reverse course is the one of Z. Xi et al., "Training Large Language Models for Reasoning through Reverse
Curriculum Reinforcement Learning" (R³, arXiv 2402.05808), written from memory of the paper: a model answers
from states of a right trace, first from those near its end. Deviations: stages follow one another (the paper
also mixes them), and a stage takes away an equal share of the steps of each trace.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil
from typing import Any, Protocol

from halluc_plugin.errors import SettingsError
from halluc_plugin.rl.rollouts import order
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.verifiers.continued import continued

Decode = Callable[[Sequence[int]], str]


class Course(Protocol):
    """The interface of a plan of a run's problems."""

    @property
    def described(self) -> Mapping[str, Any]:
        """All that decides what is asked, JSON-able."""
        ...

    def prompts(self, problems: Sequence[PosedProblem]) -> Iterable[Sequence[int]]:
        """Return the longest prompt of each problem."""
        ...

    def check(self, problems: Sequence[PosedProblem], run: GrpoSettings) -> None:
        """Refuse problems or a run that do not fit.

        Raises:
            SettingsError: They do not.
        """
        ...

    def at(self, problems: Sequence[PosedProblem], run: GrpoSettings, step: int) -> list[PosedProblem]:
        """Return the ``run.prompts`` problems of a step, which counts from 1."""
        ...


def stage_of(step: int, steps: int, stages: int) -> tuple[int, int]:
    """Return the stage of a step, from 0, and the step's number in it, from 1.

    Args:
        step: Number of the step, from 1.
        steps: Number of steps of the run; a step behind them is in the last stage.
        stages: Number of stages.
    """
    each = ceil(steps / stages)
    stage = min((step - 1) // each, stages - 1)
    return stage, step - stage * each


@dataclass(frozen=True)
class ByDifficulty:
    """Asks a share of the problems first, the easiest or the hardest, and in each stage more of them.

    Attributes:
        difficulty: A number for each problem, such as the share of a model's answers that are wrong.
        hardest_first: Whether the hardest problems come first.
        stages: Number of stages, at least 2.
    """

    difficulty: tuple[float, ...]
    hardest_first: bool = False
    stages: int = 3

    @property
    def described(self) -> Mapping[str, Any]:
        """All that decides what is asked, JSON-able."""
        told = {"hardest_first": self.hardest_first, "stages": self.stages}
        return {"course": "difficulty", "of": _digest(self.difficulty), **told}

    def prompts(self, problems: Sequence[PosedProblem]) -> Iterable[Sequence[int]]:
        """Return the prompt of each problem."""
        return (problem.prompt for problem in problems)

    def check(self, problems: Sequence[PosedProblem], run: GrpoSettings) -> None:
        """Refuse too few problems or steps for the stages, or difficulties of others."""
        _check_stages(self.stages, run)
        if len(self.difficulty) != len(problems):
            raise SettingsError(
                f"{len(self.difficulty)} difficulties of {len(problems)} problems.", "Give one for each."
            )
        if len(self._pool(0)) < run.prompts:
            raise SettingsError(
                f"The first stage has {len(self._pool(0))} problems, and a step takes {run.prompts}.",
                "Give more problems, or fewer a step.",
            )

    def at(self, problems: Sequence[PosedProblem], run: GrpoSettings, step: int) -> list[PosedProblem]:
        """Return the problems of a step, drawn from those of its stage."""
        stage, number = stage_of(step, run.steps, self.stages)
        pool = self._pool(stage)
        return [problems[pool[at]] for at in order(len(pool), run.prompts, run.seed, number)]

    def _pool(self, stage: int) -> list[int]:
        """The problems of a stage; equally difficult ones in their order."""
        sign = -1 if self.hardest_first else 1
        ranked = sorted(range(len(self.difficulty)), key=lambda at: (sign * self.difficulty[at], at))
        return ranked[: ceil(len(ranked) * (stage + 1) / self.stages)]


@dataclass(frozen=True)
class Reverse:
    """Lets answers begin with a part of a right trace, and in each stage with less of it.

    What is given is part of the prompt: it is not learned, no edit takes it back, and answers are judged
    with it.

    Attributes:
        traces: For each problem, the steps of a right answer in ids, without its end.
        decode: Function from ids to text.
        stages: Number of stages, at least 2.
    """

    traces: tuple[tuple[tuple[int, ...], ...], ...]
    decode: Decode
    stages: int = 3

    @property
    def described(self) -> Mapping[str, Any]:
        """All that decides what is asked, JSON-able."""
        return {"course": "reverse", "of": _digest(self.traces), "stages": self.stages}

    def prompts(self, problems: Sequence[PosedProblem]) -> Iterable[Sequence[int]]:
        """Return the prompt of each problem with what is given of its trace at first."""
        return (self._begun(problems, at, 0).prompt for at in range(len(problems)))

    def check(self, problems: Sequence[PosedProblem], run: GrpoSettings) -> None:
        """Refuse too few steps for the stages, or traces of other problems."""
        _check_stages(self.stages, run)
        if len(self.traces) != len(problems):
            raise SettingsError(
                f"{len(self.traces)} traces of {len(problems)} problems.", "Give one for each."
            )

    def at(self, problems: Sequence[PosedProblem], run: GrpoSettings, step: int) -> list[PosedProblem]:
        """Return the problems of a step, in the order in which they would be asked without a course."""
        stage, _ = stage_of(step, run.steps, self.stages)
        drawn = order(len(problems), run.prompts, run.seed, step)
        return [self._begun(problems, at, stage) for at in drawn]

    def _begun(self, problems: Sequence[PosedProblem], at: int, stage: int) -> PosedProblem:
        """A problem whose prompt ends with what is given of its trace."""
        problem, steps = problems[at], self.traces[at]
        # Of three stages the first gives two thirds, and never the whole.
        kept = len(steps) * (self.stages - 1 - stage) // self.stages
        given = tuple(token for step in steps[:kept] for token in step)
        verifier = continued(problem.verifier, self.decode(given) if given else "")
        return replace(problem, prompt=(*problem.prompt, *given), verifier=verifier)


def _digest(given: Any) -> str:
    return sha256(repr(given).encode()).hexdigest()


def _check_stages(stages: int, run: GrpoSettings) -> None:
    if not 2 <= stages <= run.steps:
        raise SettingsError(
            f"A course of {stages} stages in {run.steps} steps.",
            "Give at least 2 stages, and no more than steps.",
        )
