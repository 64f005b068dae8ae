"""Open the models of a search: those that answer, correct, and score answers or steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.errors import TokenizerError
from halluc_plugin.jobs.samplers import open_sampler, require_fit
from halluc_plugin.jobs.search_asked import SearchJob
from halluc_plugin.jobs.search_methods import GUIDED, Method
from halluc_plugin.jobs.search_shown import reads, request_ids, require_reading_room
from halluc_plugin.jobs.step_scorers import check_step_scorer, open_step_scorer
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape, first_layers, load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.seeds import DRAFT_STREAM, seed_part
from halluc_plugin.sampling.states import Space
from halluc_plugin.scorers.base import Scorer
from halluc_plugin.scorers.consistency import ConsistencyScorer
from halluc_plugin.scorers.likelihood import ModelScorer, Says, load_verifier
from halluc_plugin.scorers.steps import StepScorer
from halluc_plugin.scorers.verdicts import VerdictScorer
from halluc_plugin.search.selection import Rule
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import load_config, load_tokenizer


@dataclass(frozen=True)
class Models:
    """The models of a job.

    Attributes:
        shape: Sizes of the model that answers.
        sampler: The model that answers, for sampling; None if it is searched as a network.
        network: The model that answers as a network, if transformers search it; else None.
        scorer: The scorer of answers.
        rater: The scorer of steps.
        corrector: The model that writes revised suffixes.
        corrector_shape: Sizes of the corrector.
        draft: The model that drafts steps.
        draft_shape: Sizes of the draft model.
    """

    shape: DecoderShape
    sampler: Sampler | None = None
    network: Any = None
    scorer: Scorer | None = None
    rater: StepScorer | None = None
    corrector: Sampler | None = None
    corrector_shape: DecoderShape | None = None
    draft: Sampler | None = None
    draft_shape: DecoderShape | None = None

    def seed(self, seed: int, number: int) -> None:
        """Seed all samplers so that the samples of a part depend on its number alone.

        Args:
            seed: Seed of the job.
            number: Number of the part.
        """
        for sampler in (self.sampler, self.corrector):
            if sampler is not None:
                seed_part(sampler, seed, number)
        if self.draft is not None:
            seed_part(self.draft, seed, number, stream=DRAFT_STREAM)


def open_models(job: SearchJob, problems: Sequence[PosedProblem], space: Space, tokenizer: Any) -> Models:
    """Open all models of a job, after checking that each fits.

    Args:
        job: The settings of the search.
        problems: The problems.
        space: The space in which the problems are searched.
        tokenizer: The tokenizer of the model that answers.

    Returns:
        The models.

    Raises:
        TokenizerError: A model cannot be loaded, has other ids, or is a scorer of other steps.
        DataError: The oracle is asked for, and a problem's verifier does not judge prefixes.
        SettingsError: A prompt and its answer do not fit.
        HostVersionError: vLLM is asked for and not installed.
    """
    trust = job.trust_remote_code
    _check(job, problems, space, tokenizer)
    shape = decoder_shape(load_config(job.model, trust_remote_code=trust))
    scorer = _scorer(job, tokenizer) if job.selection in {Rule.VERIFIER, Rule.UNIVERSAL} else None
    if job.method is Method.BEAM:
        return Models(shape, network=load_network(job.model, trust_remote_code=trust), scorer=scorer)
    trigger = None if job.erasing is None else job.erasing.trigger(job.model, space.vocab)
    sampler = open_sampler(job.model, job.backend, space, job.seed, trust_remote_code=trust, trigger=trigger)
    if job.method not in GUIDED:
        return Models(shape, sampler, scorer=scorer)
    corrector = corrector_shape = None
    if (other := job.guidance.corrector) is not None:
        corrector = open_sampler(other, job.backend, space, job.seed, trust_remote_code=trust)
        corrector_shape = decoder_shape(load_config(other, trust_remote_code=trust))
    draft, draft_shape = _draft(job, space, sampler)
    rater = open_step_scorer(job, problems, space, tokenizer, sampler=sampler, shape=shape)
    return Models(
        shape,
        sampler,
        rater=rater,
        corrector=corrector,
        corrector_shape=corrector_shape,
        draft=draft,
        draft_shape=draft_shape,
    )


def _draft(job: SearchJob, space: Space, sampler: Sampler) -> tuple[Sampler | None, DecoderShape | None]:
    """Open the model that drafts, if there is one: another, or the first layers of the one that answers."""
    guidance, trust = job.guidance, job.trust_remote_code
    if guidance.draft is not None:
        other = open_sampler(guidance.draft, job.backend, space, job.seed, trust_remote_code=trust)
        return other, decoder_shape(load_config(guidance.draft, trust_remote_code=trust))
    if guidance.draft_layers is None:
        return None, None
    loaded = sampler.network if isinstance(sampler, HFSampler) else None
    whole = load_network(job.model, trust_remote_code=trust) if loaded is None else loaded
    network = first_layers(whole, guidance.draft_layers)
    return HFSampler(network, space, seed=job.seed), decoder_shape(network.config)


def _check(job: SearchJob, problems: Sequence[PosedProblem], space: Space, tokenizer: Any) -> None:
    """Refuse what would fail later, before any weights are loaded."""
    trust, prompts = job.trust_remote_code, [problem.prompt for problem in problems]
    require_fit(job.model, prompts, space, trust_remote_code=trust)
    if reads(job.method, job.rule):
        config, request = load_config(job.model, trust_remote_code=trust), request_ids(job.request, tokenizer)
        require_reading_room(config, prompts, request, n=job.n, max_tokens=space.max_tokens)
    beside = (
        ("verifier", job.verifier),
        ("corrector", job.guidance.corrector),
        ("draft", job.guidance.draft),
    )
    for name, other in beside:
        if other is None:
            continue
        if fingerprint(load_tokenizer(other, trust_remote_code=trust)) != fingerprint(tokenizer):
            raise TokenizerError(
                f"The {name} {other} has another tokenizer than the model that answers.",
                f"Use a {name} with the same ids.",
            )
        require_fit(other, prompts, space, trust_remote_code=trust)  # it reads what the model wrote
    if job.method in GUIDED:
        check_step_scorer(job, problems, space, tokenizer)


def _scorer(job: SearchJob, tokenizer: Any) -> Scorer:
    if job.selection is Rule.UNIVERSAL:
        own = load_network(job.model, trust_remote_code=job.trust_remote_code)
        return ConsistencyScorer(own, request_ids(job.request, tokenizer), vocab_of(tokenizer))
    assert job.verifier is not None  # as the job has checked
    network = load_verifier(job.verifier, tokenizer, trust_remote_code=job.trust_remote_code)
    likelihood = job.verifier_says is Says.LIKELIHOOD
    return ModelScorer(network, vocab_of(tokenizer)) if likelihood else VerdictScorer(network, tokenizer)
