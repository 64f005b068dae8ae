"""Cut answers into steps, and judge each step by the oracle of its problem."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.edits.texts import token_text
from halluc_plugin.errors import DataError, TokenizerError
from halluc_plugin.problem_sets.search import JudgedStep, SearchVerifier
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Space
from halluc_plugin.verifiers import PrefixVerifier, StepKind


@dataclass(frozen=True)
class Cutter:
    """Cuts answers into steps.

    Attributes:
        tokenizer: The tokenizer of the ids.
        space: The space that names the ids that end steps and answers.
        delimiter: The text that ends a step.
    """

    tokenizer: Any
    space: Space
    delimiter: str

    def spans(self, ids: Sequence[int], *, ended: bool) -> list[tuple[int, int]]:
        """Return the first and last (exclusive) index of each step.

        An unfinished step at the end counts only with ``ended``.

        Raises:
            TokenizerError: A token holds the end of one step and the beginning of the next.
        """
        text = [token_id for token_id in ids if token_id not in self.space.eos_ids]
        for token_id in text:
            if token_id not in self.space.delimiters and self.delimiter in token_text(
                self.tokenizer, token_id
            ):
                raise TokenizerError(
                    f"The token {token_text(self.tokenizer, token_id)!r} holds the end of a step and more: "
                    "it cuts a step in two.",
                    "Choose another --step-delimiter, or a tokenizer that ends steps with a token's end.",
                )
        ends = [number + 1 for number, token_id in enumerate(text) if token_id in self.space.delimiters]
        if ended and (ends[-1] if ends else 0) < len(text):
            ends.append(len(text))
        return list(zip([0, *ends], ends, strict=False))

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of some ids, without EOS."""
        found: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return found

    def lines(self, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[str]:
        """Return the text of each step, without its delimiter."""
        before = [self.text(ids[:start]) for start, _ in spans]
        behind = [self.text(ids[:end]) for _, end in spans]
        return [b[len(a) :].removesuffix(self.delimiter) for a, b in zip(before, behind, strict=True)]


@dataclass(frozen=True)
class Judged:
    """The judgement of a step; ``seen`` and ``branches`` are None if the oracle does not tell them."""

    kind: StepKind
    seen: bool | None
    branches: tuple[int, int] | None


Judge = Callable[[Sequence[int], Sequence[tuple[int, int]]], list[Judged]]
"""``judge(ids, spans)``: the steps of an answer."""


def judge_of(problem: PosedProblem, cutter: Cutter) -> Judge:
    """Return the oracle that judges the steps of a problem.

    Raises:
        DataError: The problem's verifier does not judge steps.
    """
    verifier, truth = problem.verifier, problem.truth
    if isinstance(verifier, SearchVerifier):
        return lambda ids, spans: [
            _of(step) for step in verifier.judge_steps(truth, cutter.lines(ids, spans))
        ]
    if not isinstance(verifier, PrefixVerifier):
        raise DataError(
            f"The verifier of {verifier.data_sources[0]} judges whole answers, and no steps.",
            "Assess rows of a task whose verifier has prefix_ok (docs/tasks.md), such as `halluc data word`.",
        )

    def by_prefix(ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[Judged]:
        kinds, alive = [], True
        for _, end in spans:
            alive = alive and verifier.prefix_ok(truth, cutter.text(ids[:end]))
            kinds.append(Judged(StepKind.LIVE if alive else StepKind.DEAD, None, None))
        return kinds

    return by_prefix


def _of(step: JudgedStep) -> Judged:
    return Judged(step.kind, step.contradiction, step.branches)
