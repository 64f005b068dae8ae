"""Select and judge the answers that searches found, and count what they cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from halluc_plugin.edits.texts import token_texts
from halluc_plugin.metrics import Counts, DecoderShape, StepEnd, counts_of, judge_ids, step_ends
from halluc_plugin.sampling.driver import Found
from halluc_plugin.sampling.problems import PosedProblem, step_oracle, text_of
from halluc_plugin.sampling.states import Response, Space
from halluc_plugin.scorers.base import Scorer
from halluc_plugin.search.selection import Canonical, Rule, select
from halluc_plugin.search.visited import visited
from halluc_plugin.trace_log import rounded
from halluc_plugin.verifiers import Outcome, PrefixVerifier, final_vote


@dataclass(frozen=True)
class Answered:
    """The judged answer to a problem, with its cost.

    Attributes:
        answer: The selected text, None if nothing was found.
        correct: Whether the answer is right.
        found: Number of finished responses to select from.
        reachable: Whether any of these is right.
        tokens: Number of tokens sampled by the model that answers.
        flops: Forward FLOPs of all models, a scorer's included.
        step_ends: Number of edits sampled where a step had just ended in a dead end, and number of such
            places; then the same where the goal was within reach. All are 0 if nothing judges prefixes or
            edits.
        scorer_tokens: Number of positions that a scorer of steps computed.
        rollout_tokens: Number of tokens that the model that answers sampled for a scorer of steps, not
            counted in ``tokens``.
        corrector_tokens: Number of tokens that a corrector sampled, not counted in ``tokens``.
        draft_tokens: Number of tokens that a draft model sampled, not counted in ``tokens``.
        scorer_flops: The part of ``flops`` that a scorer took, its rollouts included.
        erasures: For each sample the number of times that a signal erased; empty if none does.
        actions: What was known of the answer's tokens, as returned by :func:`known_actions`; None if nothing
            was found.
        visited: All that the search wrote, as returned by :func:`halluc_plugin.search.visited.visited`; None
            if no account was asked for.
    """

    answer: str | None
    correct: bool
    found: int
    reachable: bool
    tokens: int
    flops: int
    step_ends: Counts = (0, 0, 0, 0)
    scorer_tokens: int = 0
    rollout_tokens: int = 0
    corrector_tokens: int = 0
    draft_tokens: int = 0
    scorer_flops: int = 0
    erasures: Sequence[int] = ()
    actions: Mapping[str, Any] | None = None
    visited: Mapping[str, Any] | None = None


def known_actions(response: Response, tokenizer: Any) -> dict[str, Any]:
    """Return what was known of each token of a response when it was sampled.

    Returns:
        ``tokens``, the text of each token; ``log_probs`` and ``entropies`` in nats and ``edit_probs``,
        rounded, or None if the engine does not report them.
    """
    known = {
        "log_probs": response.logprobs, "entropies": response.entropies, "edit_probs": response.edit_probs,
    }  # fmt: skip
    whole = len(response.ids)
    return {
        "tokens": token_texts(tokenizer, response.ids),
        **{name: rounded(values) if len(values) == whole else None for name, values in known.items()},
    }


def answered(row: Mapping[str, Any]) -> Answered:
    """Return an answer from its JSON form."""
    return Answered(**{**row, "step_ends": tuple(row["step_ends"])})


def canonical(problem: PosedProblem, tokenizer: Any) -> Canonical:
    """Return a function that gives a response's final result, or its text without blanks if it has none."""
    return lambda response: final_vote(problem.verifier, problem.truth, text_of(response, tokenizer))


def judged(
    problems: Sequence[PosedProblem],
    found: Sequence[Found],
    rule: Rule | None,
    tokenizer: Any,
    *,
    shape: DecoderShape,
    scorer: Scorer | None = None,
    space: Space | None = None,
    corrector_shape: DecoderShape | None = None,
    draft_shape: DecoderShape | None = None,
    account: Space | None = None,
) -> Iterator[Answered]:
    """Select an answer to each problem and judge it.

    Args:
        problems: The problems.
        found: What was found for each.
        rule: The rule that selects; None takes the first response found, as guided searches put their answer
            first.
        tokenizer: The tokenizer of the ids.
        shape: Sizes of the model, for costs.
        scorer: The scorer for :attr:`Rule.VERIFIER` and :attr:`Rule.UNIVERSAL`.
        space: The space in which edits were sampled, to be judged at the ends of steps; None leaves them
            unjudged.
        corrector_shape: Sizes of the corrector, if there is one.
        draft_shape: Sizes of the draft model, if there is one.
        account: The space that was searched, to keep all that was sampled there; None keeps the answer only.

    Yields:
        The judged answer to each problem, in order.
    """
    for problem, result in zip(problems, found, strict=True):
        rated, score = result.cost.rated, None
        scorer_flops = rated.flops
        if scorer is not None:
            score = partial(scorer.score, problem.prompt)
            scorer_flops += scorer.flops(problem.prompt, result.responses)
        if rule is None:
            chosen = next(iter(result.responses), None)
        else:
            chosen = select(result.responses, rule, canonical(problem, tokenizer), score)
        others = ((result.corrected, corrector_shape), (result.drafted, draft_shape))
        beside = sum(cost.flops(of) for cost, of in others if of is not None)

        def right(response: Response, problem: PosedProblem = problem) -> bool:
            return problem.verifier.verify(problem.truth, text_of(response, tokenizer)) is Outcome.CORRECT

        yield Answered(
            answer=None if chosen is None else text_of(chosen, tokenizer),
            correct=chosen is not None and right(chosen),
            found=len(result.responses),
            reachable=any(right(response) for response in set(result.responses)),
            tokens=result.cost.tokens,
            flops=result.cost.flops(shape) - rated.flops + scorer_flops + beside,
            step_ends=(0, 0, 0, 0) if space is None else _step_ends(problem, result, space, tokenizer),
            scorer_tokens=rated.scorer_tokens,
            rollout_tokens=rated.policy_tokens,
            corrector_tokens=result.corrected.tokens,
            draft_tokens=result.drafted.tokens,
            scorer_flops=scorer_flops,
            erasures=[sample.erasures for _, sample in result.samples if sample.depths],
            actions=None if chosen is None else known_actions(chosen, tokenizer),
            visited=None if account is None else visited(problem.prompt, result, chosen, account, tokenizer),
        )


def _step_ends(problem: PosedProblem, found: Found, space: Space, tokenizer: Any) -> Counts:
    """Count what was sampled after steps; the first action of a sample follows the last step of its state."""
    if not isinstance(problem.verifier, PrefixVerifier):
        return (0, 0, 0, 0)
    judge = cache(step_oracle(problem, tokenizer))
    places: list[StepEnd] = []
    for request, sample in found.samples:
        state = () if request.whole else request.prefix[len(problem.prompt) :]
        (trace,) = judge_ids([[*state, *sample.ids]], space.vocab, [lambda live: judge(tuple(live))])
        places += step_ends(trace, space.delimiters, given=len(state))
    return counts_of(places)
