"""Check the contract of a task: that its verifier is consistent, and so is everything that it draws.

A package checks a task of its own in a few lines of its tests::

    import pytest
    from halluc_plugin.tasks.contract import checks

    @pytest.mark.parametrize("check", checks("sorting"), ids=str)
    def test_contract(check):
        check(seed=0)

Each check looks at problems, answers and traces that the task draws from a seed, as ``halluc data`` writes
them. For a task that draws none, the checks use right answers that are given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

import numpy as np

from halluc_plugin.data.rows import ground_truth, messages, reference_answer, text_of
from halluc_plugin.tasks import registry
from halluc_plugin.tasks.contract_sample import Answered, ContractError, Sample, drawn, prompt_of
from halluc_plugin.tasks.task import Task
from halluc_plugin.verifiers import CanonicalVerifier, FinalVerifier, Outcome, PrefixVerifier

ODD_TEXTS = ("", " ", "\n", "0", "-", "=", "\x00", "é", "①", "9" * 5000, "(" * 500, "a=1\nb=", "#### ")
"""Texts that no task asks for; a verifier must judge them all the same."""
ENDS = (" ", "\n")
"""Texts that may have to follow before an error shows: if 12 is right, 1 is wrong only once it has ended."""
SPOILED = 3
"""Number of times that each answer is spoiled at random."""
SAMPLES_KEPT = 4

__all__ = ["Answered", "Check", "ContractError", "checks", "checks_of"]


@dataclass(frozen=True)
class Check:
    """One check of the contract of a task.

    Attributes:
        holds: Function that raises :class:`ContractError` if a sample breaks the contract.
        draw: Function that returns the sample that a seed draws of the task.
    """

    holds: Callable[[Sample], None]
    draw: Callable[[int], Sample]

    def __call__(self, seed: int = 0) -> None:
        """Check what the task draws from a seed.

        Raises:
            ContractError: It breaks the contract; the message names task, seed and problem.
            HallucError: The task refuses to draw.
        """
        self.holds(self.draw(seed))

    def __str__(self) -> str:
        """What holds, as a name."""
        return self.holds.__name__


def checks(name: str, given: Sequence[Answered] = ()) -> list[Check]:
    """Return the checks that apply to what a task declares.

    Args:
        name: Name of the task.
        given: Right answers, for a task that draws no problems.

    Raises:
        TaskError: The task is refused by :func:`halluc_plugin.tasks.load`.
    """
    return checks_of(registry.load(name), given)


def checks_of(task: Task, given: Sequence[Answered] = ()) -> list[Check]:
    """Return the checks that apply to a task's declaration, as :func:`checks`."""
    asked = [sources_lead_to_the_task, any_text_is_judged]
    if task.data is not None:
        asked += [problems_are_distinct, the_seed_decides, rows_can_be_asked_and_judged]
        asked += [traces_resolve_to_right_answers, mistakes_are_wrong]
    if task.data is not None or given:
        asked += [answers_are_right]
        if isinstance(task.verifier, PrefixVerifier):
            asked += [prefixes_of_right_answers_are_ok, spoiled_answers_are_wrong]
        if task.eval is not None:
            asked += [the_evaluation_finds_answers]
    draw = lru_cache(SAMPLES_KEPT)(partial(drawn, task, given=tuple(given)))
    return [Check(holds, draw) for holds in asked]


def sources_lead_to_the_task(sample: Sample) -> None:
    """Check that rows of each data source are judged by the task."""
    for source in sample.task.sources:
        if registry.find_task(source) is not sample.task:
            raise sample.broken(f"rows of {source!r} are not its")


def any_text_is_judged(sample: Sample) -> None:
    """Check that any text has an outcome, and its canonical form the same one."""
    verifier = sample.task.verifier
    halves = [answer[: len(answer) // 2] for _, answer in sample.answers]
    for truth, answer in sample.answers:
        for text in (*ODD_TEXTS, *halves, answer):
            outcome = _outcome(sample, truth, text)
            if not isinstance(outcome, Outcome):
                raise sample.broken(f"the verdict on {text!r:.80} is {outcome!r}, no Outcome", truth)
            if not isinstance(verifier, CanonicalVerifier):
                continue
            canonical = verifier.canonical(text)
            if _outcome(sample, truth, canonical) is not outcome:
                raise sample.broken(f"{text!r:.80} is {outcome}, its canonical form is not", truth)


def problems_are_distinct(sample: Sample) -> None:
    """Check that no problem is in two splits, or twice in one."""
    asked = {split: [prompt_of(row) for row in rows] for split, rows in sample.rows.items()}
    for split, prompts in asked.items():
        twice = [prompt for prompt in prompts if prompts.count(prompt) > 1]
        if twice:
            raise sample.broken(f"the split {split} asks {twice[0]!r} twice")
    for one, other in combinations(asked, 2):
        shared = set(asked[one]) & set(asked[other])
        if shared:
            raise sample.broken(f"the splits {one} and {other} both ask {min(shared)!r}")


def the_seed_decides(sample: Sample) -> None:
    """Check that the same seed draws the same problems and traces, and another seed others."""
    again, other = drawn(sample.task, sample.seed), drawn(sample.task, sample.seed + 1)
    if (again.rows, again.traces) != (sample.rows, sample.traces):
        raise sample.broken("the same seed draws something else the second time")
    for split, rows in sample.rows.items():
        if [prompt_of(row) for row in other.rows[split]] == [prompt_of(row) for row in rows]:
            raise sample.broken(f"the next seed draws the same problems of the split {split}")


def rows_can_be_asked_and_judged(sample: Sample) -> None:
    """Check that rows have one message and a source of the task, and leave the agent loop to the recipe."""
    for row in (row for rows in sample.rows.values() for row in rows):
        asked = messages(row)
        if len(asked) != 1 or not text_of(asked[0].get("content")):
            raise sample.broken(f"a prompt is {asked!r:.200}, not one message with text", ground_truth(row))
        if row["data_source"] not in sample.task.sources:
            raise sample.broken(f"a row's data_source is {row['data_source']!r}", ground_truth(row))
        if "agent_name" in row:
            raise sample.broken("a row has agent_name, which overrides the recipe's", ground_truth(row))
        if not isinstance(reference_answer(row), str):
            raise sample.broken("a row has no text in extra_info.answer", ground_truth(row))


def answers_are_right(sample: Sample) -> None:
    """Check that reference answers and final results are right, and no text is right for every problem."""
    verifier = sample.task.verifier
    for truth, answer in sample.answers:
        if _outcome(sample, truth, answer) is not Outcome.CORRECT:
            raise sample.broken(f"the reference answer {answer!r} is not right", truth)
        if _outcome(sample, truth, "") is Outcome.CORRECT:
            raise sample.broken("the empty text is right", truth)
        if isinstance(verifier, FinalVerifier):
            final = verifier.final_answer(answer)
            if final is None or verifier.verify_final(truth, answer) is not Outcome.CORRECT:
                raise sample.broken(f"what {answer!r} comes to, {final!r}, is not right", truth)
    truths = [truth for truth, _ in sample.answers]
    for truth, answer in sample.answers:
        if len(truths) > 1 and all(_outcome(sample, other, answer) is Outcome.CORRECT for other in truths):
            raise sample.broken(f"{answer!r} is right for every problem", truth)


def prefixes_of_right_answers_are_ok(sample: Sample) -> None:
    """Check that prefixes of right answers are ok, and every ok prefix continues to a right answer."""
    for answers in (sample.answers, sample.traced, sample.found()):
        for truth, answer in answers:
            for text in dict.fromkeys((answer, answer.rstrip())):
                if _outcome(sample, truth, text) is not Outcome.CORRECT:
                    continue
                bad = next((e for e in range(len(text) + 1) if not _is_ok(sample, truth, text[:e])), None)
                if bad is not None:
                    raise sample.broken(f"{text!r} is right, but its prefix {text[:bad]!r} is not ok", truth)


def spoiled_answers_are_wrong(sample: Sample) -> None:
    """Check that nothing is ok or right after a prefix that is not ok, and a wrong character shows."""
    rng, alphabet, shown = np.random.default_rng(sample.seed), sample.alphabet, 0
    for truth, answer in sample.answers:
        for _ in range(SPOILED):
            at, replaced = int(rng.integers(len(answer) + 1)), int(rng.integers(2))
            sign = alphabet[int(rng.integers(len(alphabet)))]
            text = answer[:at] + sign + answer[at + replaced :]
            oks = [_is_ok(sample, truth, text[:end]) for end in range(len(text) + 1)]
            if oks != sorted(oks, reverse=True):
                first = text[: oks.index(False)]
                raise sample.broken(f"the prefix {first!r} of {text!r} is not ok, but a longer one is", truth)
            if not oks[-1] and _outcome(sample, truth, text) is Outcome.CORRECT:
                raise sample.broken(f"{text!r} is right, and not ok", truth)
            shown += not oks[-1]
    if not shown:
        raise sample.broken("whatever is changed in an answer, every prefix is still ok")


def traces_resolve_to_right_answers(sample: Sample) -> None:
    """Check that every trace resolves to a right answer."""
    for row in sample.traces:
        text = sample.decode(sample.live(row["response_ids"]))
        if _outcome(sample, ground_truth(row), text) is not Outcome.CORRECT:
            raise sample.broken(f"a trace comes to {text!r}, which is not right", ground_truth(row))


def mistakes_are_wrong(sample: Sample) -> None:
    """Check that every kind of mistake occurs and makes a trace not ok, until it is taken back."""
    for row in sample.traces:
        truth, ids = ground_truth(row), row["response_ids"]
        final = sample.live(ids)
        for before, after in sample.events(ids):
            if not _has_mistake(sample, truth, before, final):
                raise sample.broken(f"a trace takes back from {sample.decode(before)!r}, which is ok", truth)
            if not _is_ok(sample, truth, sample.decode(after)):
                raise sample.broken(f"a trace goes on from {sample.decode(after)!r}, which is not ok", truth)
            spoiled = sample.decode([*before, *final[len(after) :]])
            if _outcome(sample, truth, spoiled) is Outcome.CORRECT:
                raise sample.broken(f"{spoiled!r} is right, mistake and all", truth)
    for kind, written in sample.mistakes.items():
        if not written:
            raise sample.broken(f"no trace has a mistake of the kind {kind!r}")


def the_evaluation_finds_answers(sample: Sample) -> None:
    """Check that the evaluated splits are drawn, and what is found in a right answer is right."""
    evaluation = sample.task.eval
    assert evaluation is not None
    for each in evaluation.splits:
        if sample.rows and each.split not in sample.rows:
            raise sample.broken(f"{each.name} evaluates the split {each.split}, which is not drawn")
    for truth, answer in sample.answers:
        found = evaluation.found(answer)
        if _outcome(sample, truth, found) is not Outcome.CORRECT:
            raise sample.broken(f"in {answer!r} its evaluation finds {found!r}, which is not right", truth)


def _outcome(sample: Sample, truth: Any, text: str) -> Outcome:
    try:
        return sample.task.verifier.verify(truth, text)
    except Exception as error:
        raise sample.broken(f"its verifier fails at {text!r:.80} ({type(error).__name__})", truth) from error


def _is_ok(sample: Sample, truth: Any, prefix: str) -> bool:
    """Whether a prefix is ok; always where nothing judges prefixes."""
    verifier = sample.task.verifier
    return not isinstance(verifier, PrefixVerifier) or verifier.prefix_ok(truth, prefix)


def _has_mistake(sample: Sample, truth: Any, ids: Sequence[int], final: Sequence[int]) -> bool:
    """Whether a text is not ok, or would not be if it ended here and is not how the answer goes on."""
    if not isinstance(sample.task.verifier, PrefixVerifier):
        return True
    text = sample.decode(ids)
    if not _is_ok(sample, truth, text):
        return True
    if text.endswith(ENDS) or list(ids) == list(final[: len(ids)]):
        return False
    return not any(_is_ok(sample, truth, text + end) for end in ENDS)
