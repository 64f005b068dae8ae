"""One search of a file of problems: what is asked for, checked before a model is loaded, and carried out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_rows_in_groups
from halluc_plugin.data.resumable import PartedFile, Progress, Row, named, named_function, named_model
from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.jobs.samplers import Backend, answer_ends, open_sampler, require_fit
from halluc_plugin.sampling.driver import Found, Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.networks import decoder_shape, load_network
from halluc_plugin.sampling.problems import PosedProblem, read_problems, step_oracle
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Search, Space
from halluc_plugin.scorers.base import Scorer
from halluc_plugin.scorers.likelihood import ModelScorer, Says, load_verifier
from halluc_plugin.scorers.verdicts import VerdictScorer
from halluc_plugin.search.answers import Answered, answered, judged
from halluc_plugin.search.backtracking import self_backtracking
from halluc_plugin.search.baselines import StepOracle, breadth_first, depth_first, greedy
from halluc_plugin.search.beams import beam_search
from halluc_plugin.search.selection import Rule


class Method(StrEnum):
    """How to search."""

    BACKTRACK = "backtrack"
    SAMPLE = "sample"
    GREEDY = "greedy"
    BEAM = "beam"
    BREADTH_FIRST = "breadth-first"
    DEPTH_FIRST = "depth-first"


TREES = frozenset({Method.BREADTH_FIRST, Method.DEPTH_FIRST})
DEFAULT_ROUNDS, DEFAULT_BUDGET = 1, 8


@dataclass(frozen=True)
class SearchJob:
    """What is asked for.

    Args:
        model: Model folder or hub name.
        data: Problems.
        method: How to search.
        n: Samples of a round, beams, or proposals of a state.
        rounds: Rounds of backtracking, None for one; for :attr:`Method.BACKTRACK` alone.
        budget: States kept at a depth or expanded in all, None for 8; for trees alone.
        rule: How an answer is selected.
        verifier: Model that scores answers; with :attr:`Rule.VERIFIER` alone.
        verifier_says: What it says of them.
        ban_edits: Whether the model cannot backtrack; for all but :attr:`Method.BACKTRACK` and
            :attr:`Method.BEAM`.
        tabu: What is banned where a search has come back, or where samples begin (:class:`Space`); for
            :attr:`Method.BACKTRACK` and :attr:`Method.SAMPLE`.
        oracle: Whether trees drop steps that the problem's prefix verifier refutes.
        temperature: Of sampling.
        max_tokens: Most tokens of an answer.
        step_delimiter: Text that ends a step.
        limit: Problems, from the first; None for all.
        seed: Of all samples.
        backend: What samples.
        reward_function: Place of a scoring function that judges answers; None for the source's verifier.
        trust_remote_code: Whether code that comes with model or verifier may run.
        apply_chat_template_kwargs: What the model's chat template reads beside the messages.

    Raises:
        SettingsError: A value is out of range, or has no meaning beside another.
    """

    model: str
    data: Path
    method: Method = Method.BACKTRACK
    n: int = 8
    rounds: int | None = None
    budget: int | None = None
    rule: Rule = Rule.MEAN_LOGPROB
    verifier: str | None = None
    verifier_says: Says = Says.LIKELIHOOD
    ban_edits: bool = False
    tabu: Tabu = Tabu.OFF
    oracle: bool = False
    temperature: float = 0.7
    max_tokens: int = 256
    step_delimiter: str = "\n"
    limit: int | None = None
    seed: int = 0
    backend: Backend = Backend.HF
    reward_function: str | None = None
    trust_remote_code: bool = False
    apply_chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n < 1 or (self.limit is not None and self.limit < 1):
            raise SettingsError(f"--samples is {self.n} and --limit {self.limit}.", "Give at least 1.")
        if (self.rule is Rule.VERIFIER) != (self.verifier is not None):
            raise SettingsError("--rule verifier and --verifier MODEL go together.", "Give both or neither.")
        if self.verifier is None and self.verifier_says is not Says.LIKELIHOOD:
            raise SettingsError("--verifier-says has no meaning without --verifier.", "Give the verifier.")
        if self.reward_function is not None and self.rule in {Rule.MAJORITY, Rule.SUMMED}:
            raise SettingsError(
                f"--rule {self.rule} votes on what answers come to, and --reward-function does not say it.",
                "Leave one of them out.",
            )
        for name, given, allowed in (
            ("--rounds", self.rounds is not None, {Method.BACKTRACK}),
            ("--budget", self.budget is not None, TREES),
            ("--oracle", self.oracle, TREES),
            ("--tabu", self.tabu is not Tabu.OFF, {Method.BACKTRACK, Method.SAMPLE}),
            ("--ban-edits", self.ban_edits, set(Method) - {Method.BACKTRACK, Method.BEAM}),
        ):
            if given and self.method not in allowed:
                raise SettingsError(
                    f"{name} has no meaning for --method {self.method}.",
                    f"Leave it out, or use {' or '.join(sorted(allowed))}.",
                )
        if self.method is Method.BEAM and self.backend is Backend.VLLM:
            raise SettingsError("Beam search is transformers' own.", "Use --backend hf.")
        distinct = self.method is Method.SAMPLE and self.tabu is Tabu.FIRST
        alike = self.temperature == 0 and self.n > 1 and self.method not in {Method.GREEDY, Method.BEAM}
        if alike and not distinct:
            raise SettingsError(
                f"At temperature 0 all {self.n} samples would be the same.",
                "Give a temperature above 0, or --method greedy.",
            )

    def described(self) -> dict[str, Any]:
        """All that decides the answers, JSON-able; a model or file that was written anew is another one."""
        asked = asdict(self)
        if self.tabu is Tabu.OFF:
            del asked["tabu"]  # answers of before there was a choice are kept
        return asked | {
            "model": named_model(self.model),
            "data": named(self.data),
            "verifier": None if self.verifier is None else named_model(self.verifier),
            "reward_function": named_function(self.reward_function),
        }


def answer(job: SearchJob, kept: Path, part: int, progress: Progress) -> list[Answered]:
    """Search all problems, and judge what is found; an interrupted search of the same goes on.

    Args:
        job: What is asked for.
        kept: Stands for what is kept beside it until all is answered; no file of that name is left.
        part: Problems that are searched together, and kept together.
        progress: How to show progress.

    Raises:
        TokenizerError: Model or verifier cannot be loaded, have different ids, or lack what the search needs.
        DataError: See :func:`halluc_plugin.sampling.problems.read_problems`.
        SettingsError: See :class:`SearchJob`.
        HostVersionError: vLLM is asked for and not installed.
    """
    from halluc_plugin.tokens import BACKTRACK_TOKEN
    from halluc_plugin.tokens.loading import load_config, load_tokenizer

    trust = job.trust_remote_code
    tokenizer = load_tokenizer(job.model, trust_remote_code=trust)
    space = space_of(job, tokenizer)
    problems = read_problems(
        job.data,
        tokenizer,
        job.limit,
        reward_function=job.reward_function,
        template_kwargs=job.apply_chat_template_kwargs,
    )
    judges = [step_oracle(problem, tokenizer) if job.oracle else None for problem in problems]
    prompts = [problem.prompt for problem in problems]
    require_fit(job.model, prompts, space, trust_remote_code=trust)
    shape = decoder_shape(load_config(job.model, trust_remote_code=trust))
    scorer = None
    if job.verifier is not None:
        scorer = _scorer(job.verifier, job.verifier_says, tokenizer, trust)
        # It reads what the model wrote.
        require_fit(job.verifier, prompts, space, trust_remote_code=trust)
    if job.method is Method.BEAM:
        network = load_network(job.model, trust_remote_code=trust)
    else:
        sampler = open_sampler(job.model, job.backend, space, job.seed, trust_remote_code=trust)

    edits = BACKTRACK_TOKEN in tokenizer.get_vocab() and not job.ban_edits
    judged_space = space if edits else None

    def make(number: int, asked: Sequence[Asked]) -> tuple[list[Row], Mapping[str, int]]:
        some, oracles = [problem for problem, _ in asked], [judge for _, judge in asked]
        prompts = [problem.prompt for problem in some]
        if job.method is Method.BEAM:
            found = beam_search(network, prompts, space, job.n)
        else:
            seed_part(sampler, job.seed, number)
            found = _run(job, prompts, space, sampler, oracles)
        answers = judged(some, found, job.rule, tokenizer, shape=shape, scorer=scorer, space=judged_space)
        return [{ANSWERED: json.dumps(asdict(answer))} for answer in answers], {}

    file: PartedFile[Asked] = PartedFile(kept, make, job.described(), {}, part)
    file.write(list(zip(problems, judges, strict=True)), progress=progress, what="problems answered")
    try:
        return [answered(json.loads(row[ANSWERED])) for row in read_rows_in_groups(kept)]
    finally:
        kept.unlink()


Asked = tuple[PosedProblem, StepOracle | None]
ANSWERED = "answered"


def _scorer(model: str, says: Says, tokenizer: Any, trust: bool) -> Scorer:
    network = load_verifier(model, tokenizer, trust_remote_code=trust)
    return ModelScorer(network) if says is Says.LIKELIHOOD else VerdictScorer(network, tokenizer)


def _run(
    job: SearchJob,
    prompts: Sequence[tuple[int, ...]],
    space: Space,
    sampler: Sampler,
    judges: Sequence[StepOracle | None],
) -> list[Found]:
    searches = [_search(job, prompt, space, judge) for prompt, judge in zip(prompts, judges, strict=True)]
    return run(searches, prompts, sampler)


def _search(job: SearchJob, prompt: tuple[int, ...], space: Space, judge: StepOracle | None) -> Search:
    budget = DEFAULT_BUDGET if job.budget is None else job.budget
    match job.method:
        case Method.BACKTRACK:
            rounds = DEFAULT_ROUNDS if job.rounds is None else job.rounds
            return self_backtracking(prompt, space, job.n, rounds)
        case Method.SAMPLE:
            return independent(prompt, space, job.n)
        case Method.BREADTH_FIRST:
            return breadth_first(prompt, space, job.n, budget, judge)
        case Method.DEPTH_FIRST:
            return depth_first(prompt, space, job.n, budget, judge)
    return greedy(prompt, space)


def space_of(job: SearchJob, tokenizer: Any) -> Space:
    """Where a job's answers are sampled.

    Raises:
        TokenizerError: The tokenizer lacks what the search needs.
    """
    from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of

    if BACKTRACK_TOKEN not in tokenizer.get_vocab():
        if job.method is Method.BACKTRACK:
            raise TokenizerError(
                "The model's tokenizer has no backtrack token, so nothing would ever be rolled back.",
                "Add it with `halluc add-token` and fine-tune, or use another --method.",
            )
        if job.ban_edits:
            raise TokenizerError(
                "The model's tokenizer has no backtrack token, so there is nothing to ban.",
                "Leave --ban-edits out.",
            )
    vocab = vocab_of(tokenizer, step_delimiter=job.step_delimiter)
    ends = find_delimiters(tokenizer, job.step_delimiter, edit_ids=vocab.edit_ids)
    return Space(
        vocab,
        answer_ends(job.model, tokenizer),
        ends,
        job.max_tokens,
        job.temperature,
        job.ban_edits,
        job.tabu,
    )
