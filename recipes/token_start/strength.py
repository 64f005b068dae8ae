"""How strong the token is: a bias on its logit, ends that are held back, budgets, and searches that retry."""

from collections.abc import Iterator
from typing import Any

from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.jobs.samplers import answer_ends
from halluc_plugin.recipes.token_start.answering import Way, ask, right
from halluc_plugin.recipes.token_start.models import Models, Wording
from halluc_plugin.sampling.driver import Found, run
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.problems import PosedProblem, text_of
from halluc_plugin.sampling.states import Space
from halluc_plugin.search.backtracking import self_backtracking
from halluc_plugin.tokens import Initialisation
from halluc_plugin.tokens.loading import load_model, on_accelerator

START = Initialisation.MEAN
"""The start of the model whose token is looked at."""


def token_model(models: Models) -> Any:
    """Return the model whose token is looked at."""
    return on_accelerator(load_model(str(models.tuned(START)), dtype="float32")).eval()


def biased(models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what answers come to with a bias on the token's logit, by bias."""
    network, asked = token_model(models), models.asked(models.scale.test)
    for bias in models.scale.biases:
        yield f"{bias:+g}", ask(models, network, asked, Way(bias=bias))


def budgeted(models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what answers come to with at most so many edits, and with any number."""
    network, asked = token_model(models), models.asked(models.scale.test)
    for budget in (*models.scale.budgets, None):
        yield "any" if budget is None else str(budget), ask(models, network, asked, Way(budget=budget))


def forced(models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what answers come to when their end is held back, of the token and of its text twin."""
    asked, step = models.asked(models.scale.test), models.vocab.step
    assert step is not None
    mark = models.mark(Wording.WEAK)
    twin = on_accelerator(load_model(str(models.worded(Wording.WEAK)), dtype="float32")).eval()
    sides = (
        ("token", token_model(models), (), (step,)),
        (f'"{Wording.WEAK}"', twin, mark, mark),
    )
    for name, network, marked, instead in sides:
        yield f"{name}: free", ask(models, network, asked, Way(marked))
        # A mark is no edit: only an end that is held back can be counted where there is no token.
        for put in ((), instead) if not marked else (instead,):
            how = "end replaced" if put else "end banned"
            for edits in models.scale.forced:
                yield (
                    f"{name}: {how} until {edits}",
                    ask(models, network, asked, Way(marked, edits=edits, instead=put)),
                )
            yield (
                f"{name}: {how} until yes",
                ask(models, network, asked, Way(marked, checked=True, instead=put)),
            )


def searched(models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what Self-Backtracking's search with b rounds comes to, by b.

    Words without blanks are answered in one line, so all that is taken back leads to the empty answer, which
    the search expands again only with tabu: a retry begins with a start that was not yet taken back.
    """
    posed, network = models.asked(models.scale.searched).posed, token_model(models)
    ends = answer_ends(str(models.tuned(START)), models.tokenizer)
    space = Space(models.vocab, ends, models.vocab.step_delimiters, models.scale.max_tokens, tabu=Tabu.FIRST)
    prompts = [problem.prompt for problem in posed]
    for rounds in models.scale.rounds:
        sampler = HFSampler(network, space, seed=models.seed)
        searches = [self_backtracking(prompt, space, models.scale.samples, rounds) for prompt in prompts]
        found = run(searches, prompts, sampler)
        told = [of_search(each, problem, space, models) for each, problem in zip(found, posed, strict=True)]
        yield (
            f"b={rounds}",
            {
                "correct": [int(one["right"]) for one in told],
                "tokens": [one["tokens"] for one in told],
                "tries": [pair for one in told for pair in one["tries"]],
            },
        )


def of_search(found: Found, problem: PosedProblem, space: Space, models: Models) -> dict[str, Any]:
    """Return whether a search found a right answer, the tokens that it sampled, and how its tries differ.

    Args:
        found: The search's result.
        problem: The problem.
        space: The space that was searched.
        models: The models of the seed.

    Returns:
        ``right``, ``tokens``, and ``tries``: for each state with several tries how many of their first steps
        differ, and how many there are.
    """
    states: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for request, sample in found.samples:
        kept = [token for token in sample.ids if space.end(token) is None or token in space.delimiters]
        steps = space.steps(kept)
        if steps:
            states.setdefault(request.prefix, []).append(steps[0])
    texts = [text_of(response, models.tokenizer) for response in found.responses]
    return {
        "right": any(right(problem, text) for text in texts),
        "tokens": sum(len(sample.ids) for _, sample in found.samples),
        "tries": [[len(set(tries)), len(tries)] for tries in states.values() if len(tries) > 1],
    }


def worded(models: Models) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what answers come to by what takes a line back: the token, or words of several strengths."""
    asked = models.asked(models.scale.test)
    yield "token", ask(models, token_model(models), asked)
    for wording in Wording:
        network = on_accelerator(load_model(str(models.worded(wording)), dtype="float32")).eval()
        mark = models.mark(wording)
        yield f'"{wording}"', ask(models, network, asked, Way(mark)) | {"mark": len(mark)}
