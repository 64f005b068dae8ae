"""Sample and score a model's answers: by search, and decoded directly."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, collapse
from halluc_plugin.metrics import ProblemSamples
from halluc_plugin.recipes.lab.judging import judged_cell
from halluc_plugin.recipes.self_backtracking.bench import MAX_TOKENS, Bench
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Search
from halluc_plugin.scorers.base import Scorer
from halluc_plugin.search import Found, Rule, Space, greedy, independent, run, self_backtracking
from halluc_plugin.search.answers import judged
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.verifiers import Outcome, whole_vote

BATCH = 512
SEARCH_TEMPERATURE = 0.7  # the paper's

MakeSearch = Callable[[tuple[int, ...], Space], Search]


def load(folder: Path) -> Any:
    """Load a model in the form in which it is measured."""
    return on_accelerator(load_model(str(folder), dtype="float32")).eval()


def search(
    bench: Bench,
    model: Any,
    problems: Sequence[PosedProblem],
    make: MakeSearch,
    *,
    edits_banned: bool = False,
) -> list[Found]:
    """Search each problem."""
    space = bench.space(temperature=SEARCH_TEMPERATURE, edits_banned=edits_banned)
    prompts = [problem.prompt for problem in problems]
    sampler = HFSampler(model, space, batch_size=BATCH, seed=bench.seed)
    with rounded(model):
        return run([make(prompt, space) for prompt in prompts], prompts, sampler)


def searched_cells(
    bench: Bench, model: Any, problems: Sequence[PosedProblem], samples: Sequence[int], rounds: Sequence[int]
) -> dict[str, Any]:
    """Return accuracies of greedy decoding and of search, and the same with edits banned.

    A search without the token is best of N.

    Args:
        bench: The experiment.
        model: The model.
        problems: The problems.
        samples: Numbers of samples N of the searches.
        rounds: Numbers of rounds b of the searches.
    """
    cells: dict[str, Any] = {}

    def add(name: str, make: MakeSearch, *, edits_banned: bool = False) -> None:
        found = search(bench, model, problems, make, edits_banned=edits_banned)
        cells[name] = by_rule(bench, problems, found, model)

    add("greedy", greedy)
    add("greedy, banned", greedy, edits_banned=True)
    for n in samples:
        for b in rounds:
            add(f"b={b} N={n}", partial(self_backtracking, n=n, rounds=b))
        add(f"N={n}, banned", partial(independent, n=n), edits_banned=True)
    return cells


def rounded(model: Any) -> AbstractContextManager[Any]:
    """Compute in bfloat16 inside the block, as training did.

    This is several times as fast on CPUs that have it.
    """
    return torch.autocast(model.device.type, torch.bfloat16)


def by_rule(
    bench: Bench,
    problems: Sequence[PosedProblem],
    found: Sequence[Found],
    model: Any,
    *,
    rules: Sequence[Rule] = (Rule.MEAN_LOGPROB,),
    scorer: Scorer | None = None,
) -> dict[str, Any]:
    """Return the results of each rule of selection for the answers found.

    Returns:
        For each rule ``correct`` (0 or 1 for each problem), ``tokens`` and ``flops`` (means);
        ``reachable``, the share of problems with a right answer among those found.
    """
    shape = decoder_shape(model.config)
    cells: dict[str, Any] = {}
    for rule in rules:
        used = scorer if rule is Rule.VERIFIER else None
        answers = list(judged(problems, found, rule, bench.tokenizer, shape=shape, scorer=used))
        cells[str(rule)] = {
            "correct": [int(answer.correct) for answer in answers],
            "tokens": sum(answer.tokens for answer in answers) / len(answers),
            "flops": sum(answer.flops for answer in answers) / len(answers),
        }
        cells["reachable"] = sum(answer.reachable for answer in answers) / len(answers)
    return cells


def decoded(
    bench: Bench,
    model: Any,
    problems: Sequence[PosedProblem],
    *,
    temperature: float,
    edits_banned: bool = False,
    copies: int = 1,
    context: Context = Context.SOFT,
) -> list[list[int]]:
    """Return raw traces: ``copies`` for each problem, one problem after the other.

    In hard context a greedy model may not return to a state that it has rejected: it would err there again.
    """
    decoding = Decoding(
        bench.vocab,
        MAX_TOKENS,
        context,
        temperature=temperature,
        tabu=context is Context.HARD and temperature == 0,
        budget=0 if edits_banned else None,
        eos_ids=frozenset({int(bench.tokenizer.eos_token_id)}),
    )
    prompts = [problem.prompt for problem in problems for _ in range(copies)]
    generator = torch.Generator(model.device).manual_seed(bench.seed)
    traces: list[list[int]] = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        with rounded(model):
            traces += [trace.ids for trace in decode(model, batch, decoding, generator=generator)]
    return traces


def decoded_cells(
    bench: Bench, model: Any, problems: Sequence[PosedProblem], context: Context = Context.SOFT
) -> dict[str, Any]:
    """Return accuracy and the worth of backtracks, greedy and at temperature 1, and with edits banned."""
    cells: dict[str, Any] = {}
    for temperature in (0.0, 1.0):
        for edits_banned in (False, True):
            traces = decoded(
                bench, model, problems, temperature=temperature, edits_banned=edits_banned, context=context
            )
            name = f"T={temperature:g}" + (", banned" if edits_banned else "")
            cells[name] = judged_cell(traces, problems, bench.tokenizer, bench.vocab)
    return cells


def sampled(
    bench: Bench,
    model: Any,
    problems: Sequence[PosedProblem],
    *,
    temperature: float,
    copies: int,
    edits_banned: bool = False,
    answer: Callable[[str], str] = str,
    context: Context = Context.SOFT,
) -> list[ProblemSamples]:
    """Sample several answers to each problem.

    Args:
        bench: The experiment.
        model: The model.
        problems: The problems.
        temperature: Sampling temperature.
        copies: Number of answers to each problem.
        edits_banned: Whether no edit can be sampled.
        answer: Function from a resolved text to its answer.
        context: What the model sees after an edit.
    """
    traces = decoded(
        bench,
        model,
        problems,
        temperature=temperature,
        edits_banned=edits_banned,
        copies=copies,
        context=context,
    )
    samples = []
    for number, problem in enumerate(problems):
        ours = traces[number * copies : (number + 1) * copies]
        kept = [collapse(trace, bench.vocab) for trace in ours]
        texts = [answer(bench.tokenizer.decode(ids, skip_special_tokens=True)) for ids in kept]
        outcomes = [problem.verifier.verify(problem.truth, text) for text in texts]
        samples.append(
            ProblemSamples(
                answers=tuple(whole_vote(problem.verifier, problem.truth, text) for text in texts),
                correct=tuple(outcome is Outcome.CORRECT for outcome in outcomes),
                tokens=tuple(map(len, ours)),
            )
        )
    return samples
