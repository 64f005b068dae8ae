"""Collect single-step interventions: where a model's own answer first went wrong, a step that does not.

This is the data of InT (M. Yang et al., "InT: Self-Proposed Interventions Enable Credit Assignment in LLM
Reasoning", arXiv 2601.14209): fine-tuning on the model's own answer up to its first error, with one step in
the place of the error, and nothing behind it. (The abstract and the authors' page were read.)

Deviations: the first error is found by a verifier of prefixes, and the step is sampled from the model and
accepted by that verifier, where the paper has the model compare itself with a reference solution in words.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.data.resumable import Row
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.problems import PosedProblem, step_oracle
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import End, Response, Space, wanted
from halluc_plugin.scorers.rollouts import judge_of
from halluc_plugin.verifiers import PrefixVerifier


@dataclass(frozen=True)
class Interventions:
    """Makes the traces of a part: an answer up to its first error, and one step.

    Attributes:
        sampler: The model that answers.
        space: The space in which it is sampled, edits banned.
        tokenizer: The model's tokenizer.
        samples: Number of answers to each problem, and of steps in the place of each error.
        most: Largest number of traces of a problem.
        seed: Seed of the samples, if the sampler can be seeded.

    Raises:
        SettingsError: The number of answers, or of traces, is below 1.
    """

    sampler: Sampler
    space: Space
    tokenizer: Any
    samples: int
    most: int
    seed: int

    def __post_init__(self) -> None:
        if self.samples < 1 or self.most < 1:
            raise SettingsError(
                f"{self.samples} answers to a problem, at most {self.most} kept.", "Give at least 1 of each."
            )

    def __call__(self, number: int, problems: Sequence[PosedProblem]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        for problem in problems:
            require_prefixes(problem)
        seed_part(self.sampler, self.seed, number)
        requests = [wanted(p.prompt, Response(), self.space) for p in problems for _ in range(self.samples)]
        answers = self.sampler.sample(requests)
        asked = [problem for problem in problems for _ in range(self.samples)]
        failed: dict[tuple[tuple[int, ...], Response], PosedProblem] = {}
        wrong = 0
        for problem, sample in zip(asked, answers, strict=True):
            whole = sample.end is End.EOS
            if whole and not judge_of(problem, self.tokenizer)(sample.ids):
                wrong += 1
                kept = self._before_error(problem, Response().extended(sample))
                failed.setdefault((problem.prompt, kept), problem)
        proposed = self.sampler.sample(
            [
                wanted(prompt, kept, self.space, steps=True)
                for prompt, kept in failed
                for _ in range(self.samples)
            ]
        )
        rows, taken, tokens = list[Row](), Counter[tuple[int, ...]](), sum(len(s.ids) for s in answers)
        for place, ((prompt, kept), problem) in enumerate(failed.items()):
            steps = proposed[place * self.samples : (place + 1) * self.samples]
            tokens += sum(len(step.ids) for step in steps)
            right = [state for step in steps if self._stands(problem, state := kept.extended(step), step.end)]
            if right and taken[prompt] < self.most:
                taken[prompt] += 1
                best = max(right, key=lambda state: state.mean_logprob)
                rows.append(TraceRow(list(prompt), list(best.ids)).columns())
        counts = {"answers": len(answers), "wrong": wrong, "interventions": len(rows), "tokens": tokens}
        return rows, Counter(counts)

    def _before_error(self, problem: PosedProblem, answer: Response) -> Response:
        """The steps of a wrong answer before the first that is refuted, all but the last if none is."""
        ok, end = step_oracle(problem, self.tokenizer), 0
        steps = self.space.steps(answer.ids)
        for step in steps[:-1]:
            if not ok(answer.ids[: end + len(step)]):
                break
            end += len(step)
        return answer.begun(end)

    def _stands(self, problem: PosedProblem, state: Response, end: End) -> bool:
        """Whether a step is whole, and a right answer can still be reached behind it, or was."""
        if end is End.EOS:
            return judge_of(problem, self.tokenizer)(state.ids)
        return end is End.STEP and step_oracle(problem, self.tokenizer)(state.ids)


def require_prefixes(problem: PosedProblem) -> None:
    """Refuse a problem of which no first error can be found.

    Raises:
        DataError: Its verifier judges no prefixes.
    """
    if not isinstance(problem.verifier, PrefixVerifier):
        raise DataError(
            "A problem's verifier judges no prefixes, so where its answers first go wrong is not known.",
            "Use problems of a task whose verifier judges prefixes (docs/tasks.md).",
        )
