"""``halluc search`` answers a file of problems by search, and says how many are right and at what cost."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from halluc_plugin.search import Found, Response, Sampler, Space
    from halluc_plugin.search.baselines import StepOracle
    from halluc_plugin.search.problems import Answered, Problem, Scorer
    from halluc_plugin.search.states import Search


class Method(StrEnum):
    """How to search."""

    BACKTRACK = "backtrack"
    SAMPLE = "sample"
    GREEDY = "greedy"
    BEAM = "beam"
    BREADTH_FIRST = "breadth-first"
    DEPTH_FIRST = "depth-first"


class Backend(StrEnum):
    """What samples."""

    HF = "hf"
    VLLM = "vllm"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search")(search)


def search(
    model: Annotated[str, typer.Option(help="Model folder or hub name.", metavar="PATH")],
    data: Annotated[Path, typer.Option(help="Problems: a verl parquet file whose source has a verifier.")],
    method: Annotated[str, typer.Option(help=", ".join(Method))] = Method.BACKTRACK,
    n: Annotated[int, typer.Option("-n", help="Samples of a round, beams, or proposals of a state.")] = 8,
    rounds: Annotated[int, typer.Option("-b", help="Rounds of backtracking (backtrack).")] = 1,
    budget: Annotated[
        int, typer.Option(help="States kept at a depth (breadth-first), or expanded (depth-first).")
    ] = 8,
    rule: Annotated[
        str, typer.Option(help="mean-logprob, majority, summed, or verifier (with --verifier).")
    ] = "mean-logprob",
    verifier: Annotated[
        str | None, typer.Option(help="Model whose mean log-probability of an answer scores it.")
    ] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Trees drop steps that the problem's prefix verifier refutes.")
    ] = False,
    temperature: Annotated[float, typer.Option(help="Of sampling.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(help="Most tokens of an answer.")] = 256,
    step_delimiter: Annotated[str, typer.Option(help="Text that ends a step.")] = "\n",
    limit: Annotated[int | None, typer.Option(help="Problems, from the first; all by default.")] = None,
    seed: Annotated[int, typer.Option(help="Of all samples.")] = 0,
    backend: Annotated[str, typer.Option(help="hf or vllm.")] = Backend.HF,
    out: Annotated[Path | None, typer.Option(help="JSONL file: one answer a problem.")] = None,
) -> None:
    """Answer problems by Self-Backtracking's search or by a baseline."""
    from halluc_plugin.search import Rule
    from halluc_plugin.search.hf import decoder_shape
    from halluc_plugin.search.problems import judged, read_problems, step_oracle
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_model, load_tokenizer

    how, by = choose(Method, method, "--method"), choose(Rule, rule, "--rule")
    engine = choose(Backend, backend, "--backend")
    _check(how, by, engine, verifier, oracle=oracle)
    tokenizer = load_tokenizer(model)
    space = _space(tokenizer, how, max_tokens, temperature, step_delimiter)
    problems = read_problems(data, tokenizer, limit)
    network = load_model(model, dtype="float32").eval()
    scorer = None if verifier is None else _scorer(verifier)
    if how is Method.BEAM:
        from halluc_plugin.search.hf import beam_search

        found = beam_search(network, [problem.prompt for problem in problems], space, n)
    else:
        sampler = _sampler(engine, model, network, space, seed)
        judges = [step_oracle(problem, tokenizer) if oracle else None for problem in problems]
        found = _run(how, problems, space, sampler, judges, (n, rounds, budget))
    shape = decoder_shape(network.config)
    answers = list(judged(problems, found, by, tokenizer, shape=shape, scorer=scorer))
    _report(answers, f"{how}, {by}")
    if out is not None:
        _write(answers, out)


def _check(how: Method, by: Any, engine: Backend, verifier: str | None, *, oracle: bool) -> None:
    from halluc_plugin.errors import SettingsError
    from halluc_plugin.search import Rule

    if (by is Rule.VERIFIER) != (verifier is not None):
        raise SettingsError("--rule verifier and --verifier MODEL go together.", "Give both or neither.")
    if oracle and how not in {Method.BREADTH_FIRST, Method.DEPTH_FIRST}:
        raise SettingsError(
            f"--oracle has no meaning for --method {how}.", "Use it with breadth-first or depth-first."
        )
    if how is Method.BEAM and engine is Backend.VLLM:
        raise SettingsError("Beam search is transformers' own.", "Use --backend hf.")


def _space(tokenizer: Any, how: Method, max_tokens: int, temperature: float, delimiter: str) -> "Space":
    from halluc_plugin.edits import find_delimiters
    from halluc_plugin.errors import TokenizerError
    from halluc_plugin.search import Space
    from halluc_plugin.tokens import BACKTRACK_TOKEN
    from halluc_plugin.training.dataset import vocab_of

    if how is Method.BACKTRACK and BACKTRACK_TOKEN not in tokenizer.get_vocab():
        raise TokenizerError(
            "The model's tokenizer has no backtrack token, so nothing would ever be rolled back.",
            "Add it with `halluc add-token` and fine-tune, or use another --method.",
        )
    vocab = vocab_of(tokenizer, step_delimiter=delimiter)
    ends = find_delimiters(tokenizer, delimiter, edit_ids=vocab.edit_ids)
    return Space(vocab, frozenset({tokenizer.eos_token_id}), ends, max_tokens, temperature)


def _sampler(engine: Backend, path: str, network: Any, space: "Space", seed: int) -> "Sampler":
    if engine is Backend.HF:
        from halluc_plugin.search.hf import HFSampler

        return HFSampler(network, space, seed=seed)
    from vllm import LLM

    from halluc_plugin.vllm_engine.sampler import VLLMSampler

    llm = LLM(path, logprobs_mode="processed_logprobs", enable_prefix_caching=True, seed=seed)
    return VLLMSampler(llm, space)


def _run(
    how: Method,
    problems: "Sequence[Problem]",
    space: "Space",
    sampler: "Sampler",
    judges: "Sequence[StepOracle | None]",
    sizes: tuple[int, int, int],
) -> "list[Found]":
    from halluc_plugin.search import run

    prompts = [problem.prompt for problem in problems]
    searches = [_one(how, prompt, space, judge, sizes) for prompt, judge in zip(prompts, judges, strict=True)]
    return run(searches, prompts, sampler)


def _one(
    how: Method,
    prompt: tuple[int, ...],
    space: "Space",
    judge: "StepOracle | None",
    sizes: tuple[int, int, int],
) -> "Search":
    from halluc_plugin import search as searches

    n, rounds, budget = sizes
    match how:
        case Method.BACKTRACK:
            return searches.self_backtracking(prompt, space, n, rounds)
        case Method.SAMPLE:
            return searches.independent(prompt, space, n)
        case Method.BREADTH_FIRST:
            return searches.breadth_first(prompt, space, n, budget, judge)
        case Method.DEPTH_FIRST:
            return searches.depth_first(prompt, space, n, budget, judge)
    return searches.greedy(prompt, space)


def _scorer(path: str) -> "Scorer":
    from halluc_plugin.search.hf import log_probs
    from halluc_plugin.tokens.loading import load_model

    verifier = load_model(path, dtype="float32").eval()

    def score(prompt: tuple[int, ...], responses: "Sequence[Response]") -> list[float]:
        found = (log_probs(verifier, prompt, response.ids) for response in responses)
        return [sum(scores) / len(scores) for scores in found]

    return score


def _report(answers: "Sequence[Answered]", title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from halluc_plugin.metrics import Proportion

    def share(values: list[bool]) -> str:
        proportion = Proportion.of(sum(values), len(values))
        low, high = 100 * proportion.low, 100 * proportion.high
        return f"{100 * proportion.value:.1f} % [{low:.1f}, {high:.1f}]"

    table = Table("", f"{title}, {len(answers)} problems")
    table.add_row("answers right", share([answer.correct for answer in answers]))
    table.add_row("a right one among those found", share([answer.reachable for answer in answers]))
    for label, total, form in (
        ("answers found", sum(answer.found for answer in answers), ".1f"),
        ("tokens sampled", sum(answer.tokens for answer in answers), ".1f"),
        ("forward FLOPs", sum(answer.flops for answer in answers), ".3g"),
    ):
        table.add_row(label, f"{total / len(answers):{form}} a problem")
    Console().print(table)


def _write(answers: "Sequence[Answered]", out: Path) -> None:
    import json
    from dataclasses import asdict

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        "".join(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in answers), encoding="utf-8"
    )
    typer.echo(f"Answers in {out}")
