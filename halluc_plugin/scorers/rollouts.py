"""Sample and judge continuations of a problem's prefixes, from which Monte-Carlo values are read.

A prefix is a response up to the end of a step, as ids without the prompt. A prefix is sampled from only once:
answers to one problem share prefixes, and searches for errors share more.
"""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import accumulate
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.problems import PosedProblem, text_of
from halluc_plugin.sampling.states import End, Request, Response, Sample, Space, wanted
from halluc_plugin.verifiers import Outcome

Prefix = tuple[int, ...]
Judge = Callable[[Prefix], bool]
"""Whether a finished response is right."""

Asking = Generator[list[Request], list[Sample], None]
Finding = Generator[list[Request], list[Sample], int]


@dataclass(frozen=True)
class Rollout:
    """A finished response that was sampled.

    Attributes:
        ids: Token ids of the whole response, EOS included.
        start: Number of these ids that are the prefix from which it was sampled.
        right: Whether the response is right.
    """

    ids: Prefix
    start: int
    right: bool


@dataclass
class State:
    """A prefix that was continued.

    Attributes:
        sampled: Number of continuations, those that did not end included.
        right: Number of right continuations.
        visits: Number of searches that began here.
    """

    sampled: int = 0
    right: int = 0
    visits: int = 0

    @property
    def value(self) -> float:
        """MC(s), the share of right continuations."""
        return self.right / self.sampled


@dataclass
class Rollouts:
    """The continuations that were sampled for one problem.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which continuations are sampled.
        judge: Function that returns whether a finished response is right.

    Attributes:
        states: The prefixes that were continued.
        found: The finished responses, in order.
    """

    prompt: Prefix
    space: Space
    judge: Judge
    states: dict[Prefix, State] = field(default_factory=dict)
    found: list[Rollout] = field(default_factory=list)

    def ended(self, prefix: Prefix) -> bool:
        """Return whether a prefix is a whole response."""
        return prefix[-1:] != () and prefix[-1] in self.space.eos_ids

    def completed(self, prefixes: Iterable[Prefix], n: int) -> Asking:
        """Sample n continuations of each distinct prefix that has none yet, all in one request.

        Raises:
            SettingsError: A prefix leaves no room for a continuation.
        """
        due = [p for p in dict.fromkeys(prefixes) if p not in self.states and not self.ended(p)]
        self.check_room(due)
        repeated = [prefix for prefix in due for _ in range(n)]
        if not repeated:
            return
        samples = yield [
            replace(wanted(self.prompt, Response(prefix), self.space), logprobs=False) for prefix in repeated
        ]
        for prefix, sample in zip(repeated, samples, strict=True):
            self._add(prefix, sample)

    def check_room(self, prefixes: Iterable[Prefix]) -> None:
        """Refuse prefixes after which nothing can be written.

        Raises:
            SettingsError: A prefix leaves no room for a continuation.
        """
        lengths = [len(prefix) for prefix in prefixes if not self.ended(prefix)]
        if max(lengths, default=0) >= self.space.max_tokens:
            raise SettingsError(
                f"A prefix of {max(lengths)} tokens is to be continued within {self.space.max_tokens}.",
                "Allow longer answers (--max-tokens).",
            )

    def _add(self, prefix: Prefix, sample: Sample) -> None:
        state = self.states.setdefault(prefix, State())
        state.sampled += 1
        if sample.end is End.EOS:  # a response that does not end is neither right nor searched
            ids = prefix + sample.ids
            right = self.judge(ids)
            state.right += right
            self.found.append(Rollout(ids, len(prefix), right))

    def first_error(self, prefixes: Sequence[Prefix], n: int, low: int = 0) -> Finding:
        """Return the first step after which a wrong response cannot be saved, by binary search.

        This is the search of L. Luo et al., "Improve Mathematical Reasoning in Language Models by Automated
        Process Supervision" (OmegaPRM, arXiv 2406.06592, section 3.2): a prefix with a right continuation is
        before the error, one without is after it. For S steps about log2 S prefixes are continued.

        Args:
            prefixes: The prefixes of the response, the empty one first and the whole one last.
            n: Number of continuations of a prefix.
            low: Index of a prefix that is known to be before the error.

        Returns:
            Index of the prefix that ends with the erroneous step: 1 is the first step.
        """
        high = len(prefixes) - 1
        while high - low > 1:
            middle = (low + high) // 2
            yield from self.completed([prefixes[middle]], n)
            if self.states[prefixes[middle]].right:
                low = middle
            else:
                high = middle
        return high

    def value(self, prefix: Prefix) -> float | None:
        """Return the Monte-Carlo value of a prefix, None if it was not continued."""
        if self.ended(prefix):
            return float(self.judge(prefix))
        state = self.states.get(prefix)
        return None if state is None else state.value

    def on_right_paths(self) -> set[Prefix]:
        """Return the prefixes of all right responses found; a right answer can follow each of them."""
        right = {rollout.ids for rollout in self.found if rollout.right}
        return {prefix for ids in right for prefix in step_prefixes(self.space.steps(ids))}


def step_prefixes(steps: Iterable[Sequence[int]]) -> list[Prefix]:
    """Return the prefixes of a response that end with a step, the empty one first."""
    return list(accumulate((tuple(step) for step in steps), initial=()))


def judge_of(problem: PosedProblem, tokenizer: Any) -> Judge:
    """Return the verifier of a problem as a function of ids, which judges each response once."""

    @cache
    def right(ids: Prefix) -> bool:
        text = text_of(Response(ids), tokenizer)
        return problem.verifier.verify(problem.truth, text) is Outcome.CORRECT

    return right
