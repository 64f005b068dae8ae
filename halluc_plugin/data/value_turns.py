"""Make rows for a scorer that sees earlier attempts: turns of revisions, each with those before it.

This is OpenReview hJ2BCYGvFg, section 3.3 and appendix A.4. Each earlier turn is followed by the question
whether it is correct, with its answer (the turn-wise context c). The target of a step is the return of its
turn plus the discounted returns of later ones (equation 14).

Deviations:

1. As printed, the inner sum over lengths counts turn j itself, and o counts it again. Here a turn's reward,
   which comes with its last step, is discounted by the steps from t to it, each once.
2. Lengths are counted in steps, not in tokens, so that the discount does not depend on a tokenizer.
3. The return of the turn itself is its Monte-Carlo value where that is known, not the single outcome; that of
   later turns is their outcome.
4. The sum can exceed 1, which cannot be a target of a binary cross-entropy: it is divided by the number of
turns
   that it is over (``normalised``), or capped at 1 (``capped``), or later turns are left out (``turn``).
5. Trajectories are ordered: which answer comes first is drawn too, and how many turns there are, up to K + 1.
   Where there are no more than J, all are taken.
6. Trajectories that begin alike have their common turns in one row, whose target is the mean over them.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import permutations
from math import perm
from statistics import fmean
from typing import Any

import numpy as np

from halluc_plugin.data.resumable import Progress
from halluc_plugin.data.value_files import ValueRow
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.progress_bar import pass_on

QUESTION, CORRECT, INCORRECT = "Is the turn correct? ", "yes", "no"

Trajectory = tuple[int, ...]


class Returns(StrEnum):
    """How the returns of later turns enter a target."""

    NORMALISED = "normalised"
    """The mean over this turn and later ones."""
    CAPPED = "capped"
    """Their sum, at most 1."""
    TURN = "turn"
    """Later turns are left out, as for a scorer that sees no earlier attempts."""


def turn_rows(
    rows: Sequence[ValueRow],
    tokenizer: Any,
    *,
    step_delimiter: str,
    revisions: int = 4,
    trajectories: int = 100,
    discount: float = 1.0,
    returns: Returns = Returns.NORMALISED,
    seed: int = 0,
    progress: Progress = pass_on,
) -> list[ValueRow]:
    """Make trajectories of revisions from the answers to each problem, and a row for each turn.

    A row's prompt is the problem's with the earlier turns (:func:`with_turns`), its steps are those of the
    turn. First turns are among the rows, with the bare prompt.

    Args:
        rows: Answers with values; those of one source and prompt belong to one problem.
        tokenizer: The tokenizer of the ids.
        step_delimiter: Text that ends a step.
        revisions: Largest number of revisions in a trajectory, K.
        trajectories: Largest number of trajectories for a problem, J.
        discount: Discount γ of one step, in [0, 1].
        returns: How the returns of later turns enter a target.
        seed: Seed of the drawn trajectories.
        progress: How to show progress, in problems.

    Returns:
        One row for each distinct turn.

    Raises:
        SettingsError: A number is out of range.
        DataError: Revisions are asked for, and no problem has two answers.
    """
    if revisions < 0 or trajectories < 1 or not 0 <= discount <= 1:
        raise SettingsError(
            f"{revisions} revisions, {trajectories} trajectories, discount {discount}.",
            "Give at least 0 revisions, at least 1 trajectory, and a discount in [0, 1].",
        )
    problems: dict[tuple[str, tuple[int, ...]], list[ValueRow]] = {}
    for row in rows:
        problems.setdefault((row.data_source, tuple(row.prompt_ids)), []).append(row)
    if revisions and max(map(len, problems.values()), default=0) < 2:
        raise DataError(
            f"None of {len(problems)} problems has two answers, so there is nothing to revise.",
            "Sample more answers to each (`halluc data values --samples`), or give --revisions 0.",
        )
    found: list[ValueRow] = []
    for index, answers in enumerate(progress(problems.values(), "problems", len(problems))):
        rng = np.random.default_rng([seed, 10, index])
        drawn = draw_trajectories(len(answers), revisions, trajectories, rng)
        later: dict[Trajectory, list[Trajectory]] = {}
        for trajectory in drawn:
            for turn in range(1, len(trajectory) + 1):
                later.setdefault(trajectory[:turn], []).append(trajectory[turn:])
        for begun, futures in later.items():
            *before, now = (answers[i] for i in begun)
            read = with_turns(
                now.prompt_ids, [(row.step_ids, row.correct) for row in before], tokenizer,
                step_delimiter=step_delimiter,
            )  # fmt: skip
            found.append(
                ValueRow(
                    now.data_source,
                    read,
                    now.step_ids,
                    _targets(now, [[answers[i] for i in future] for future in futures], discount, returns),
                    correct=now.correct,
                    rollouts=now.rollouts,
                    turn_ids=len(read) - len(now.problem_ids),
                )
            )
    return found


def draw_trajectories(answers: int, revisions: int, most: int, rng: np.random.Generator) -> list[Trajectory]:
    """Return distinct trajectories in ascending order, each a tuple of distinct indices of answers.

    Args:
        answers: Number of answers, N.
        revisions: Largest number of revisions, K.
        most: Largest number of trajectories, J.
        rng: Source of randomness; each number of turns is equally likely.
    """
    longest = min(answers, revisions + 1)
    if sum(perm(answers, turns) for turns in range(1, longest + 1)) <= most:
        return sorted(t for turns in range(1, longest + 1) for t in permutations(range(answers), turns))
    found: set[Trajectory] = set()
    while len(found) < most:
        turns = int(rng.integers(1, longest + 1))
        found.add(tuple(rng.choice(answers, turns, replace=False).tolist()))
    return sorted(found)


def with_turns(
    prompt: Iterable[int],
    turns: Sequence[tuple[Sequence[Sequence[int]], bool]],
    tokenizer: Any,
    *,
    step_delimiter: str,
) -> list[int]:
    """Return the ids that a scorer reads before a turn: the prompt, then each earlier turn and its verdict.

    Args:
        prompt: Token ids of the prompt.
        turns: The steps of each earlier turn, and whether the turn is correct.
        tokenizer: The tokenizer of the ids; its special tokens, such as EOS, are left out at the end of a
            turn.
        step_delimiter: Text that ends a step; it is written before and after the question.
    """
    ids = list(prompt)
    for steps, correct in turns:
        turn = [token for step in steps for token in step]
        while turn and turn[-1] in tokenizer.all_special_ids:
            turn.pop()
        ended = tokenizer.decode(turn[-1:]).endswith(step_delimiter)
        said = CORRECT if correct else INCORRECT
        text = f"{'' if ended else step_delimiter}{QUESTION}{said}{step_delimiter}"
        ids += [*turn, *tokenizer.encode(text, add_special_tokens=False)]
    return ids


def _targets(
    now: ValueRow, futures: Sequence[Sequence[ValueRow]], discount: float, returns: Returns
) -> list[float | None]:
    """Equation 14 for each prefix of a turn, the mean over what came later; None where it is not known."""
    targets: list[float | None] = []
    for done, value in enumerate(now.values):
        left = len(now.step_ids) - done
        own = None if value is None else discount**left * value
        known = own is not None
        targets.append(
            fmean(_target(own or 0.0, left, f, discount, returns) for f in futures) if known else None
        )
    return targets


def _target(own: float, left: int, future: Sequence[ValueRow], discount: float, returns: Returns) -> float:
    if returns is Returns.TURN:
        return own
    total = own
    for row in future:
        left += len(row.step_ids)
        total += discount**left * row.correct
    return min(1.0, total) if returns is Returns.CAPPED else total / (1 + len(future))
