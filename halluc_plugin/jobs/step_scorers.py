"""Check the scorer of steps of a search against what it will rate, and open it."""

from collections.abc import Sequence
from typing import Any

from halluc_plugin.data.value_turns import with_turns
from halluc_plugin.errors import TokenizerError
from halluc_plugin.jobs.samplers import require_fit
from halluc_plugin.jobs.search_asked import SearchJob
from halluc_plugin.jobs.search_methods import ScorerKind
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape, load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Space
from halluc_plugin.scorers.monte_carlo import MonteCarloScorer
from halluc_plugin.scorers.prefixes import PrefixScorer
from halluc_plugin.scorers.saved import check_made, load_on_trunk, load_step_scorer, read_made
from halluc_plugin.scorers.step_oracle import StepOracle
from halluc_plugin.scorers.step_verdicts import StepLikelihoods, StepVerdicts
from halluc_plugin.scorers.steps import StepScorer
from halluc_plugin.tokens import vocab_of

ROLLOUTS = 8


def check_step_scorer(job: SearchJob, problems: Sequence[PosedProblem], space: Space, tokenizer: Any) -> None:
    """Refuse a scorer in files whose config names other steps or too short answers.

    Args:
        job: The settings of the search, which name the scorer.
        problems: The problems that will be searched.
        space: The space in which they are searched.
        tokenizer: The tokenizer of their ids.

    Raises:
        TokenizerError: The model is not a scorer of steps, or was made for another tokenizer, step delimiter
            or task, or for no earlier answers if it is to read some.
        SettingsError: The scorer has too few positions for a prompt with its answer, and with the earlier
            ones that it is to read.
    """
    name = job.guidance.scorer
    if name is not None and job.guidance.kind is None:
        made = read_made(name, trust_remote_code=job.trust_remote_code)
        check_made(name, made, tokenizer, step_delimiter=job.step_delimiter, data_sources=_sources(problems))
        turns = job.guidance.turns or 0
        if turns and not made.turns:
            raise TokenizerError(
                f"No row that the scorer {name} was trained on says that earlier answers stand in its prompt "
                "(turn_ids), and --turns shows it some: it was trained on first answers alone, or on a file "
                "of turns that an older halluc wrote, which does not say so.",
                "Leave --turns out; or write the file again with `halluc data turns`, and train on that.",
            )
        prompts = [problem.prompt for problem in problems]
        asked = with_turns((), [((), False)], tokenizer, step_delimiter=job.step_delimiter) if turns else ()
        read = space.max_tokens + turns * (space.max_tokens + len(asked))
        require_fit(name, prompts, space, max_tokens=read, trust_remote_code=job.trust_remote_code)


def open_step_scorer(
    job: SearchJob,
    problems: Sequence[PosedProblem],
    space: Space,
    tokenizer: Any,
    *,
    sampler: Sampler,
    shape: DecoderShape,
) -> StepScorer:
    """Open the scorer of steps that a search asks for.

    Args:
        job: The settings of the search, which name the scorer.
        problems: The problems that will be searched.
        space: The space in which they are searched.
        tokenizer: The tokenizer of their ids.
        sampler: The model that answers, for sampling.
        shape: Sizes of the model that answers.

    Returns:
        The scorer. One that stands on the trunk of the model that answers reads what transformers computes
        while they sample it.

    Raises:
        TokenizerError: A model cannot be loaded, has other ids, or was made for other steps or another task.
        DataError: The oracle is asked for, and a problem's verifier does not judge prefixes.
        SettingsError: Monte-Carlo values would all be equal.
    """
    name, trust = job.guidance.scorer, job.trust_remote_code
    assert name is not None  # as the job has checked
    match job.guidance.kind:
        case ScorerKind.ORACLE:
            return StepOracle(problems, tokenizer, space.eos_ids)
        case ScorerKind.MONTE_CARLO:
            each = ROLLOUTS if job.guidance.continuations is None else job.guidance.continuations
            return MonteCarloScorer(sampler, space, problems, tokenizer, continuations=each, shape=shape)
        case ScorerKind.LIKELIHOOD | ScorerKind.VERDICT:
            network = load_network(job.verifier or job.model, trust_remote_code=trust)
            likelihood = job.guidance.kind is ScorerKind.LIKELIHOOD
            reader = (
                StepLikelihoods(network, vocab_of(tokenizer))
                if likelihood
                else StepVerdicts(network, tokenizer)
            )
            return PrefixScorer(reader, decoder_shape(network.config))
    if isinstance(sampler, HFSampler):
        ends = space.delimiters | space.eos_ids
        reading = load_on_trunk(name, sampler.network, ends, trust_remote_code=trust)
        if reading is not None:
            sampler.read_by(reading)
            return reading
    return load_step_scorer(
        name,
        tokenizer,
        step_delimiter=job.step_delimiter,
        data_sources=_sources(problems),
        trust_remote_code=trust,
    )


def _sources(problems: Sequence[PosedProblem]) -> set[str]:
    return {problem.data_source for problem in problems}
