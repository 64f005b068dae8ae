"""Searching files of problems: from verl's rows to judged answers and what they cost."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from halluc_plugin.data.parquet import check_rows
from halluc_plugin.data.prompts import row_prompts
from halluc_plugin.data.rows import extra_info, ground_truth
from halluc_plugin.errors import DataError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.search.driver import Found
from halluc_plugin.search.selection import Canonical, Rule, select
from halluc_plugin.search.states import Response
from halluc_plugin.verifiers import (
    VERLS,
    FunctionVerifier,
    Outcome,
    PrefixVerifier,
    Verifier,
    final_vote,
    load_score,
    prefix_oracle,
    require_verifier,
)


class Scorer(Protocol):
    """Scores responses to a prompt; :class:`halluc_plugin.search.hf.ModelScorer` is one."""

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> Sequence[float]:
        """A score of each, the higher the better."""
        ...

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """What scoring them costs."""
        ...


@dataclass(frozen=True)
class Problem:
    """One row.

    Attributes:
        prompt: Ids of its prompt, by the tokenizer's chat template.
        truth: What its verifier judges by.
        verifier: Its verifier.
    """

    prompt: tuple[int, ...]
    truth: Any
    verifier: Verifier


@dataclass(frozen=True)
class Answered:
    """What a search made of a problem.

    Attributes:
        answer: The text selected, None where nothing was found.
        correct: Whether it is right.
        found: How many finished responses there were to select from.
        reachable: Whether any of them is right.
        tokens: Tokens sampled.
        flops: Forward cost, a scorer's included.
    """

    answer: str | None
    correct: bool
    found: int
    reachable: bool
    tokens: int
    flops: int


def read_problems(
    path: Path,
    tokenizer: Any,
    limit: int | None = None,
    *,
    reward_function: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[Problem]:
    """Rows of a file of verl's whose source has a verifier.

    Args:
        path: The file.
        tokenizer: Writes the prompts.
        limit: At most so many, from the first.
        reward_function: Place of a scoring function that judges instead of verifiers
            (:func:`halluc_plugin.verifiers.load_score`).
        template_kwargs: What the chat template reads beside the messages.

    Raises:
        DataError: The file is missing or malformed, a source has no verifier, or a prompt cannot be written.
        SettingsError: There is no such function.
    """
    score = None if reward_function is None else load_score(reward_function)
    # verl's own function is what judges in training where no other is given: the rows must suit it, too.
    by_source = reward_function in {None, VERLS}
    rows = check_rows(path, judged=by_source)[:limit]
    problems = []
    for row, prompt in zip(rows, row_prompts(path, rows, tokenizer, template_kwargs), strict=True):
        source = row["data_source"]
        verifier: Verifier
        if score is None:
            verifier = require_verifier(source)
        else:
            verifier = FunctionVerifier(score, source, extra_info(row))
        problems.append(Problem(prompt, ground_truth(row), verifier))
    return problems


def text_of(response: Response, tokenizer: Any) -> str:
    """The text of a response, without EOS."""
    text: str = tokenizer.decode(list(response.ids), skip_special_tokens=True)
    return text


def canonical(problem: Problem, tokenizer: Any) -> Canonical:
    """What a response comes to where its verifier says, else its text without blanks."""
    return lambda response: final_vote(problem.verifier, problem.truth, text_of(response, tokenizer))


def step_oracle(problem: Problem, tokenizer: Any) -> Callable[[Sequence[int]], bool]:
    """The prefix verifier of a problem, on ids.

    Raises:
        DataError: Its verifier judges no prefixes.
    """
    verifier = problem.verifier
    if not isinstance(verifier, PrefixVerifier):
        raise DataError("A problem's verifier judges no prefixes.", "Search without --oracle.")

    def decode(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    return prefix_oracle(verifier, problem.truth, decode, end_ids=())


def judged(
    problems: Sequence[Problem],
    found: Sequence[Found],
    rule: Rule,
    tokenizer: Any,
    *,
    shape: DecoderShape,
    scorer: Scorer | None = None,
) -> Iterator[Answered]:
    """Select an answer to each problem and judge it.

    Args:
        problems: The problems.
        found: What was found for each.
        rule: How to select.
        tokenizer: Of the ids.
        shape: Sizes of the model, for costs.
        scorer: For :attr:`Rule.VERIFIER`.
    """
    for problem, result in zip(problems, found, strict=True):
        flops, score = result.cost.flops(shape), None
        if scorer is not None:
            score = partial(scorer.score, problem.prompt)
            flops += scorer.flops(problem.prompt, result.responses)
        chosen = select(result.responses, rule, canonical(problem, tokenizer), score)

        def right(response: Response, problem: Problem = problem) -> bool:
            return problem.verifier.verify(problem.truth, text_of(response, tokenizer)) is Outcome.CORRECT

        yield Answered(
            answer=None if chosen is None else text_of(chosen, tokenizer),
            correct=chosen is not None and right(chosen),
            found=len(result.responses),
            reachable=any(right(response) for response in set(result.responses)),
            tokens=result.cost.tokens,
            flops=flops,
        )
