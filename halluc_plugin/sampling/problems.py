"""Read problems to be answered: verl's rows as ids, each with its verifier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import checked_rows
from halluc_plugin.data.prompts import row_prompts
from halluc_plugin.data.rows import extra_info, ground_truth
from halluc_plugin.errors import DataError
from halluc_plugin.sampling.states import Response
from halluc_plugin.tasks import require_verifier, truth_fault
from halluc_plugin.verifiers import (
    VERLS,
    FunctionVerifier,
    PrefixVerifier,
    Verifier,
    load_score,
    prefix_oracle,
)


@dataclass(frozen=True)
class PosedProblem:
    """One problem of a file.

    Attributes:
        prompt: Token ids of the prompt, by the tokenizer's chat template.
        truth: The ground truth by which the verifier judges.
        verifier: The verifier of answers.
        data_source: The data source; empty if it is not needed.
    """

    prompt: tuple[int, ...]
    truth: Any
    verifier: Verifier
    data_source: str = ""


def read_problems(
    path: Path,
    tokenizer: Any,
    limit: int | None = None,
    *,
    reward_function: str | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> list[PosedProblem]:
    """Read the rows of a verl file whose sources have verifiers.

    Args:
        path: The file to read.
        tokenizer: The tokenizer that encodes the prompts.
        limit: Largest number of rows, from the first; None for all.
        reward_function: Place of a scoring function that judges instead of verifiers
            (:func:`halluc_plugin.verifiers.load_score`).
        template_kwargs: Further arguments of the chat template.

    Raises:
        DataError: The file is missing or malformed, a source has no verifier, or a prompt cannot be encoded.
        SettingsError: The scoring function does not exist.
    """
    score = None if reward_function is None else load_score(reward_function)
    # verl's own function is what judges in training where no other is given: the rows must suit it, too.
    by_source = reward_function in {None, VERLS}
    rows = checked_rows(path, truth_fault=truth_fault if by_source else None)[:limit]
    problems = []
    for row, prompt in zip(rows, row_prompts(path, rows, tokenizer, template_kwargs), strict=True):
        source = row["data_source"]
        verifier: Verifier
        if score is None:
            verifier = require_verifier(source)
        else:
            verifier = FunctionVerifier(score, source, extra_info(row))
        problems.append(PosedProblem(prompt, ground_truth(row), verifier, str(source)))
    return problems


def text_of(response: Response, tokenizer: Any) -> str:
    """Return the text of a response, without EOS."""
    text: str = tokenizer.decode(list(response.ids), skip_special_tokens=True)
    return text


def step_oracle(problem: PosedProblem, tokenizer: Any) -> Callable[[Sequence[int]], bool]:
    """Return the prefix verifier of a problem, as a function of token ids.

    Raises:
        DataError: The problem's verifier does not judge prefixes.
    """
    verifier = problem.verifier
    if not isinstance(verifier, PrefixVerifier):
        raise DataError("A problem's verifier judges no prefixes.", "Search without --oracle.")

    def decode(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    return prefix_oracle(verifier, problem.truth, decode, end_ids=())
