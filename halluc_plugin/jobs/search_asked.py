"""The settings by which a file of problems is searched, checked before a model is loaded."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halluc_plugin.data.resumable import named, named_function, named_model
from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.jobs.resets import reset_vocab
from halluc_plugin.jobs.samplers import Backend, answer_ends
from halluc_plugin.jobs.search_erasing import Erasing
from halluc_plugin.jobs.search_methods import (
    GUIDED,
    MEANING,
    STATED,
    Guidance,
    Method,
    ScorerKind,
    flag,
    require_meaning,
)
from halluc_plugin.jobs.search_plans import Begin, plan
from halluc_plugin.jobs.search_shown import REQUEST, check_reading, reads
from halluc_plugin.sampling.states import Space
from halluc_plugin.scorers.likelihood import Says
from halluc_plugin.search.selection import Rule


@dataclass(frozen=True)
class SearchJob:
    """The settings of a search.

    Args:
        model: Model folder or hub name.
        data: File of problems.
        method: The method of search.
        n: Number of samples of a round, copies, beams, or proposals of a state.
        rounds: Number of rounds of backtracking, of refinements or of a debate, None for one; or of a pool,
            None for 32.
        budget: Number of states kept at a depth or expanded in all, None for 8. With :attr:`Method.REVISE` a
            beam of so many prefixes writes the suffixes; None for best-of-N.
        rule: The rule that selects an answer, None for :attr:`Rule.MEAN_LOGPROB`, of a debate for
            :attr:`Rule.MAJORITY`. A guided search selects its own.
        verifier: Model that scores answers, with :attr:`Rule.VERIFIER`, or steps, with a scorer that a model
            states (:data:`halluc_plugin.jobs.search_methods.STATED`).
        verifier_says: The form of the verifier's judgement of answers.
        ban_edits: Whether edit tokens are banned.
        tabu: The tokens that are banned after a search has come back, or at the start of samples
            (:class:`Space`).
        oracle: Whether trees drop steps that the problem's prefix verifier refutes.
        temperature: Sampling temperature.
        max_tokens: Largest number of tokens of an answer.
        step_delimiter: Text that ends a step.
        limit: Number of problems, from the first; None for all.
        seed: Seed of all samples.
        backend: The engine that samples.
        reward_function: Place of a scoring function that judges answers; None for the source's verifier.
        trust_remote_code: Whether code that comes with model or verifier may run.
        apply_chat_template_kwargs: Further arguments of the model's chat template.
        guidance: The settings of a guided search.
        erasing: The settings by which a signal erases, with :attr:`Method.ERASE` and only there.
        request: Text behind answers that a model reads, which asks for another
            (:mod:`halluc_plugin.jobs.search_shown`).

    :data:`halluc_plugin.jobs.search_methods.MEANING` lists the methods for which each option has a meaning.

    Raises:
        SettingsError: A value is out of range, or has no meaning together with another.
    """

    model: str
    data: Path
    method: Method = Method.BACKTRACK
    n: int = 8
    rounds: int | None = None
    budget: int | None = None
    rule: Rule | None = None
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
    guidance: Guidance = field(default_factory=Guidance)
    erasing: Erasing | None = None
    request: str | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or (self.limit is not None and self.limit < 1):
            raise SettingsError(f"--samples is {self.n} and --limit {self.limit}.", "Give at least 1.")
        given = {name: name in self.guidance.given() for name in MEANING if hasattr(self.guidance, name)}
        own = {
            "rounds": self.rounds is not None,
            "budget": self.budget is not None,
            "oracle": self.oracle,
            "tabu": self.tabu is not Tabu.OFF,
            "ban_edits": self.ban_edits,
            "rule": self.rule is not None,
        }
        if self.erasing is not None and self.method is not Method.ERASE:
            raise SettingsError(
                f"--calibration has no meaning for --method {self.method}.", "Use --method erase."
            )
        require_meaning(self.method, given | own)
        self._require_erasing()
        self._require_models()
        check_reading(self.method, self.rule, n=self.n, rounds=self.rounds, request=self.request)
        votes = self.selection in {Rule.MAJORITY, Rule.SUMMED, Rule.CONFIDENCE}
        if self.reward_function is not None and (votes or self.method is Method.WEIGHTED_MAJORITY):
            what = f"--method {self.method}" if self.rule is None else f"--rule {self.rule}"
            raise SettingsError(
                f"{what} votes on what answers come to, and --reward-function does not say it.",
                "Leave one of them out.",
            )
        unread = self.backend is Backend.VLLM or self.method is Method.BEAM or self.ban_edits
        if self.rule is Rule.CONFIDENCE and unread:
            raise SettingsError(
                "--rule confidence reads the probability of an edit where answers end, which neither vLLM "
                "nor beam search reports, and which is 0 with --ban-edits.",
                "Use --backend hf, another --method, and no --ban-edits.",
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

        if self.method in GUIDED:
            self.begin()

    def _require_erasing(self) -> None:
        """A search that erases has a calibration, and reads what its engine shows."""
        if self.method is not Method.ERASE:
            return
        if self.erasing is None:
            raise SettingsError(
                "--method erase needs the threshold of a signal.",
                "Give --calibration FILE, which `halluc probe signal NAME --out FILE` writes.",
            )
        if self.backend is Backend.VLLM:
            self.erasing.require_logits_alone()
        if self.temperature == 0 and self.tabu is Tabu.OFF:
            raise SettingsError(
                "What is erased would be written again at temperature 0.",
                "Give a temperature above 0, or --tabu first.",
            )

    def _require_models(self) -> None:
        """The models beside the one that answers go with what they are for."""
        guidance, stated = self.guidance, self.guidance.kind in STATED
        if self.method in GUIDED and guidance.scorer is None:
            raise SettingsError(
                f"--method {self.method} needs values of steps.",
                f"Give --scorer: {', '.join(ScorerKind)}, or the folder of one that was trained.",
            )
        if (self.rule is Rule.VERIFIER) != (self.verifier is not None) and not stated:
            raise SettingsError("--rule verifier and --verifier MODEL go together.", "Give both or neither.")
        if self.verifier_says is not Says.LIKELIHOOD and (self.verifier is None or stated):
            raise SettingsError(
                "--verifier-says has no meaning without --verifier and --rule verifier.",
                "Give both, or leave it out: --scorer says it of steps.",
            )
        if guidance.continuations is not None and guidance.kind is not ScorerKind.MONTE_CARLO:
            raise SettingsError(
                f"--continuations has no meaning for --scorer {guidance.scorer}.", "Use --scorer monte-carlo."
            )
        if guidance.turns is not None and guidance.kind is not None:
            raise SettingsError(
                f"--turns has no meaning for --scorer {guidance.kind}, which reads no earlier answers.",
                "Give the folder of a scorer that was trained on a file of `halluc data turns`.",
            )
        beside = [
            name for name in ("corrector", "draft", "draft_layers") if getattr(guidance, name) is not None
        ]
        if beside and self.backend is Backend.VLLM:
            raise SettingsError(
                "vLLM would hold two models, and each takes the memory that it is given.",
                f"Use --backend hf with {flag(beside[0])}.",
            )
        drafted = self.method is Method.DRAFT_VERIFY
        if drafted and (guidance.draft is None) == (guidance.draft_layers is None):
            raise SettingsError(
                "--method draft-verify needs one model that drafts.",
                "Give either --draft MODEL, or --draft-layers N, the first layers of the model that answers.",
            )

    def begin(self, tokenizer: Any = None) -> Begin:
        """Return the function that begins a guided search.

        Args:
            tokenizer: The model's tokenizer, which a search that reflects or shows turns needs.
        """
        return plan(
            self.method,
            self.guidance,
            n=self.n,
            rounds=self.rounds,
            budget=self.budget,
            seed=self.seed,
            tokenizer=tokenizer,
            step_delimiter=self.step_delimiter,
        )

    @property
    def selection(self) -> Rule | None:
        """The rule that selects an answer, None if a guided search does."""
        usual = Rule.MAJORITY if self.method is Method.DEBATE else Rule.MEAN_LOGPROB
        return None if self.method in GUIDED else self.rule or usual

    def described(self) -> dict[str, Any]:
        """Return a JSON-able description of everything that decides the answers.

        A model or file that was written anew is described differently.
        """
        asked = asdict(self)
        if self.tabu is Tabu.OFF:
            del asked["tabu"]  # answers of before there was a choice are kept
        if self.erasing is None:
            del asked["erasing"]
        else:
            asked["erasing"]["calibration"] = named(self.erasing.calibration)
        asked["request"] = REQUEST if self.request is None else self.request
        if not reads(self.method, self.rule):
            del asked["request"]
        del asked["guidance"]
        if self.method in GUIDED:
            asked["guidance"] = self._guided_by()
        return asked | {
            "rule": self.selection,
            "model": named_model(self.model),
            "data": named(self.data),
            "verifier": None if self.verifier is None else named_model(self.verifier),
            "reward_function": named_function(self.reward_function),
        }

    def _guided_by(self) -> dict[str, Any]:
        """The guidance, JSON-able; a scorer or corrector that was written anew is another one."""
        told, guidance = self.guidance.described(), self.guidance
        if guidance.scorer is not None and guidance.kind is None:
            told["scorer"] = named_model(guidance.scorer)
        for name in ("corrector", "draft"):
            if (model := getattr(guidance, name)) is not None:
                told[name] = named_model(model)
        return told


def space_of(job: SearchJob, tokenizer: Any) -> Space:
    """Return the space in which a job's answers are sampled.

    Raises:
        TokenizerError: The tokenizer lacks what the search needs.
    """
    from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of

    if BACKTRACK_TOKEN not in tokenizer.get_vocab():
        if job.method is Method.ERASE:
            raise TokenizerError(
                "The model's tokenizer has no edit token, by which text is erased.",
                "Add one with `halluc add-token --step`; no training is needed.",
            )
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
        if job.rule is Rule.CONFIDENCE:
            raise TokenizerError(
                "The model's tokenizer has no edit token, so all its answers would count alike.",
                "Add one with `halluc add-token` and fine-tune, or use --rule majority.",
            )
    if job.method is Method.REFINE:  # refuses a model that cannot sample the token
        reset_vocab(job.model, tokenizer, trust_remote_code=job.trust_remote_code)
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
