"""Build the searches that a scorer guides, and what a model is told of its own failures."""

from collections.abc import Callable, Sequence
from typing import Any

from halluc_plugin.data.value_turns import with_turns
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.jobs.search_methods import Guidance, Method
from halluc_plugin.sampling.states import GuidedSearch, Response, Space, Writer
from halluc_plugin.search.drafting import Drafting, draft_verify
from halluc_plugin.search.guided import RatedResponse
from halluc_plugin.search.pools import Pooling, stochastic_backtracking
from halluc_plugin.search.ranking import Reduction, ranked
from halluc_plugin.search.revision import Reading, Revising, revise
from halluc_plugin.search.selection import Canonical
from halluc_plugin.search.trees import Form, Growing, Reflection, tree_search
from halluc_plugin.search.value_beams import check_beam, value_beam

DEFAULT_BUDGET = 8
Begin = Callable[[tuple[int, ...], Space, Canonical], GuidedSearch]
"""Begins the search of a prompt in a space, with what answers come to."""

ASKED = "\n\nThis answer is wrong. In one sentence, the mistake is that"
TOLD = "What was said of wrong answers to the next problem:\n"


def plan(
    method: Method,
    guidance: Guidance,
    *,
    n: int,
    rounds: int | None,
    budget: int | None,
    seed: int,
    tokenizer: Any = None,
    step_delimiter: str = "\n",
) -> Begin:
    """Return the function that begins a guided search, after checking that every setting is in range.

    Args:
        method: One of :data:`halluc_plugin.jobs.search_methods.GUIDED`.
        guidance: The settings of the guided search.
        n: Number of samples of a round, or proposals of a state.
        rounds: Number of rounds of a pool, None for its default.
        budget: Number of prefixes kept or states expanded; None for 8, and for best-of-N in revisions.
        seed: Seed of what the search itself draws.
        tokenizer: The model's tokenizer, which a search that reflects or shows turns needs.
        step_delimiter: Text that ends a step.

    Raises:
        SettingsError: A value is out of range, or has no meaning together with another.
    """
    width = DEFAULT_BUDGET if budget is None else budget
    match method:
        case Method.REVISE:
            return _revision(guidance, n, budget, seed, tokenizer=tokenizer, step_delimiter=step_delimiter)
        case Method.TS_LLM | Method.LATS:
            form = Form.TS_LLM if method is Method.TS_LLM else Form.LATS
            chosen = guidance.chosen("exploration", "p_des")

            def grow(prompt: tuple[int, ...], space: Space, _: Canonical) -> GuidedSearch:
                how = reflection(prompt, tokenizer) if guidance.reflect else None
                return tree_search(
                    prompt, space, Growing(form=form, n=n, simulations=width, reflection=how, **chosen)
                )

            Growing(form=form, n=n, simulations=width, **chosen)
            return grow
        case Method.SUBPOOL:
            chosen = guidance.chosen("share", "p_des") | ({} if rounds is None else {"rounds": rounds})
            pooling = Pooling(n=n, seed=seed, **chosen)
            return lambda prompt, space, _: stochastic_backtracking(prompt, space, pooling)
        case Method.VALUE_BEAM:
            lookahead = guidance.lookahead or 0
            check_beam(n, width, lookahead)
            return lambda prompt, space, _: value_beam(prompt, space, n, width, lookahead=lookahead)
        case Method.DRAFT_VERIFY:
            drafting = Drafting(n=n, **guidance.chosen("accept"))
            return lambda prompt, space, _: draft_verify(prompt, space, drafting)
    return _ranking(method, guidance, n)


def _ranking(method: Method, guidance: Guidance, n: int) -> Begin:
    reduction, votes = guidance.reduction or Reduction.LAST, method is Method.WEIGHTED_MAJORITY
    return lambda prompt, space, canonical: ranked(prompt, space, n, reduction, canonical if votes else None)


def earlier_turns(prompt: Sequence[int], most: int, tokenizer: Any, step_delimiter: str) -> Reading:
    """Return what a scorer that sees earlier attempts reads before a new answer.

    All attempts are told to be incorrect: they were not good enough, or the search would have ended.

    Args:
        prompt: Token ids of the problem's prompt.
        most: Largest number of attempts that are read; the last ones are.
        tokenizer: The tokenizer that writes the question behind each.
        step_delimiter: Text that ends a step.
    """

    def read(turns: Sequence[RatedResponse]) -> tuple[int, ...]:
        told = [(turn.steps, False) for turn in turns[-most:]]
        return tuple(with_turns(prompt, told, tokenizer, step_delimiter=step_delimiter))

    return read


def _revision(
    guidance: Guidance, n: int, budget: int | None, seed: int, *, tokenizer: Any, step_delimiter: str
) -> Begin:
    writer = Writer.POLICY if guidance.corrector is None else Writer.CORRECTOR
    chosen = guidance.chosen("omega", "p_des", "revisions", "arm", "better")
    revising = Revising(n=n, width=budget, writer=writer, seed=seed, **chosen)
    turns = guidance.turns
    if turns is None:
        return lambda prompt, space, _: revise(prompt, space, revising)
    if turns < 1:
        raise SettingsError(f"--turns is {turns}.", "Give at least 1, or leave it out.")
    if budget is not None:
        raise SettingsError(
            "--budget lets a beam write the suffixes, whose prefixes are no turns that --turns could show.",
            "Leave one of them out.",
        )

    def in_context(prompt: tuple[int, ...], space: Space, _: Canonical) -> GuidedSearch:
        reading = earlier_turns(prompt, turns, tokenizer, step_delimiter)
        return revise(prompt, space, revising, reading=reading)

    return in_context


def reflection(prompt: tuple[int, ...], tokenizer: Any) -> Reflection:
    """Return how a model is asked what is wrong with an answer, in plain text around the problem's ids.

    Args:
        prompt: Token ids of the problem's prompt.
        tokenizer: The tokenizer that encodes the words.

    Raises:
        TokenizerError: The tokenizer cannot encode the words, for example because it knows only numbers.
    """

    def ids(text: str) -> tuple[int, ...]:
        found = tuple(tokenizer.encode(text, add_special_tokens=False))
        if tokenizer.decode(list(found)) != text:
            raise TokenizerError(
                "The tokenizer cannot write the words that a model is asked to reflect with.",
                "Leave --reflect out, or use a model whose tokenizer writes any text.",
            )
        return found

    asked, told, item, end = ids(ASKED), ids(TOLD), ids("- "), ids("\n")
    ends = frozenset({tokenizer.eos_token_id})

    def ask(answer: Response) -> tuple[int, ...]:
        return prompt + tuple(token for token in answer.ids if token not in ends) + asked

    def carry(reflections: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        lines = [token for one in reflections for token in (*item, *one, *end)]
        return (*told, *lines, *end, *prompt)

    return Reflection(ask, carry)
