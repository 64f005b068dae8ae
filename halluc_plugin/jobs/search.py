"""Search a file of problems and judge the answers, in parts that survive an interruption.

The settings, which are checked before a model is loaded, are in :mod:`.search_asked`; the methods are in
:mod:`.search_methods`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_rows_in_groups
from halluc_plugin.data.resumable import PartedFile, Progress, Row
from halluc_plugin.jobs.search_asked import SearchJob, space_of
from halluc_plugin.jobs.search_methods import GUIDED, TREES, Guidance, Method
from halluc_plugin.jobs.search_models import Models, open_models
from halluc_plugin.jobs.search_plans import DEFAULT_BUDGET
from halluc_plugin.jobs.search_shown import request_ids
from halluc_plugin.sampling.driver import Found, run
from halluc_plugin.sampling.independent import independent, samples_that_end
from halluc_plugin.sampling.problems import PosedProblem, read_problems, step_oracle
from halluc_plugin.sampling.states import GuidedSearch, Search, Space
from halluc_plugin.search.answers import Answered, answered, canonical, judged
from halluc_plugin.search.backtracking import self_backtracking
from halluc_plugin.search.baselines import StepOracle, breadth_first, depth_first, greedy
from halluc_plugin.search.beams import beam_search
from halluc_plugin.search.debating import debating
from halluc_plugin.search.refining import refining

__all__ = [
    "DEFAULT_BUDGET",
    "DEFAULT_ROUNDS",
    "TREES",
    "Guidance",
    "Method",
    "SearchJob",
    "answer",
    "space_of",
]

DEFAULT_ROUNDS = 1
Asked = tuple[PosedProblem, StepOracle | None]
ANSWERED = "answered"


def answer(
    job: SearchJob, kept: Path, part: int, progress: Progress, *, visited: bool = True
) -> list[Answered]:
    """Search all problems and judge the answers; an interrupted search with the same settings is resumed.

    Args:
        job: The settings of the search.
        kept: Path next to which partial results are kept until the search is complete; no file of this name
            remains.
        part: Number of problems that are searched and kept together.
        progress: Shows the progress.
        visited: Whether the answers keep all that was sampled on the way to them, up to 400 kB each.

    Returns:
        The answers, in the order of the problems.

    Raises:
        TokenizerError: A model cannot be loaded, has different ids, lacks what the search needs, or scores
            other steps.
        DataError: The file is refused by :func:`halluc_plugin.sampling.problems.read_problems`, or a scorer
            does not know such problems.
        SettingsError: The settings are refused by :class:`SearchJob`.
        HostVersionError: vLLM is asked for and not installed.
    """
    from halluc_plugin.tokens import BACKTRACK_TOKEN
    from halluc_plugin.tokens.loading import load_tokenizer

    tokenizer = load_tokenizer(job.model, trust_remote_code=job.trust_remote_code)
    space = space_of(job, tokenizer)
    problems = read_problems(
        job.data,
        tokenizer,
        job.limit,
        reward_function=job.reward_function,
        template_kwargs=job.apply_chat_template_kwargs,
    )
    judges = [step_oracle(problem, tokenizer) if job.oracle else None for problem in problems]
    models = open_models(job, problems, space, tokenizer)
    edits = BACKTRACK_TOKEN in tokenizer.get_vocab() and not (job.ban_edits or job.method is Method.ERASE)

    def make(number: int, asked: Sequence[Asked]) -> tuple[list[Row], Mapping[str, int]]:
        models.seed(job.seed, number)
        answers = judged(
            [problem for problem, _ in asked],
            _found(job, asked, space, tokenizer, models),
            job.selection,
            tokenizer,
            shape=models.shape,
            corrector_shape=models.corrector_shape,
            draft_shape=models.draft_shape,
            scorer=models.scorer,
            space=space if edits else None,
            account=space if visited else None,
        )
        return [{ANSWERED: json.dumps(asdict(answer))} for answer in answers], {}

    file: PartedFile[Asked] = PartedFile(kept, make, job.described(), {}, part)
    file.write(list(zip(problems, judges, strict=True)), progress=progress, what="problems answered")
    try:
        return [answered(json.loads(row[ANSWERED])) for row in read_rows_in_groups(kept)]
    finally:
        kept.unlink()


def _found(
    job: SearchJob, asked: Sequence[Asked], space: Space, tokenizer: Any, models: Models
) -> list[Found]:
    prompts = [problem.prompt for problem, _ in asked]
    if models.sampler is None:
        return beam_search(models.network, prompts, space, job.n)
    searches: list[Search | GuidedSearch] = [
        _guided(job, problem, space, tokenizer)
        if job.method in GUIDED
        else _search(job, problem.prompt, space, judge, tokenizer)
        for problem, judge in asked
    ]
    return run(
        searches,
        prompts,
        models.sampler,
        rater=models.rater,
        corrector=models.corrector,
        draft=models.draft,
    )


def _guided(job: SearchJob, problem: PosedProblem, space: Space, tokenizer: Any) -> GuidedSearch:
    return job.begin(tokenizer)(problem.prompt, space, canonical(problem, tokenizer))


def _search(
    job: SearchJob, prompt: tuple[int, ...], space: Space, judge: StepOracle | None, tokenizer: Any
) -> Search:
    rounds = DEFAULT_ROUNDS if job.rounds is None else job.rounds
    budget = DEFAULT_BUDGET if job.budget is None else job.budget
    match job.method:
        case Method.BACKTRACK:
            return self_backtracking(prompt, space, job.n, rounds)
        case Method.SAMPLE | Method.ERASE:
            begin = independent if job.method is Method.SAMPLE else samples_that_end
            return begin(prompt, space, job.n)
        case Method.REFINE:
            return refining(prompt, space, job.n, rounds)
        case Method.DEBATE:
            return debating(prompt, space, job.n, rounds, request_ids(job.request, tokenizer))
        case Method.BREADTH_FIRST | Method.DEPTH_FIRST:
            grow = breadth_first if job.method is Method.BREADTH_FIRST else depth_first
            return grow(prompt, space, job.n, budget, judge)
    return greedy(prompt, space)
