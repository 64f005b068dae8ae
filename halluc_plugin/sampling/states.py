"""A response that is being written, and the requests of a search to a model."""

from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from halluc_plugin.decoding.policy import NOTHING, Tabu
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.rating import Rated, ToRate


class Writer(StrEnum):
    """The model that a request is addressed to."""

    POLICY = "policy"
    """The model that answers."""
    CORRECTOR = "corrector"
    """Another model, which continues where a search has gone back."""
    DRAFT = "draft"
    """A cheaper model, which proposes steps that the model that answers may take back."""


class End(StrEnum):
    """The reason why a sample ended."""

    EOS = "eos"
    EDIT = "edit"
    """The model took something back."""
    STEP = "step"
    """A step is complete, and the search asked for one step."""
    LENGTH = "length"


@dataclass(frozen=True)
class Space:
    """The settings under which a search samples.

    Attributes:
        vocab: The edit vocabulary of the ids.
        eos_ids: Ids that end a response.
        delimiters: Ids that end a step.
        max_tokens: Largest number of tokens of a response, EOS included.
        temperature: Sampling temperature; 0 is greedy.
        edits_banned: Whether edits cannot be sampled, which gives the same model without its backtracks.
        tabu: ``first`` bans, in a state that a search has come back to, the first tokens of what was taken
            back there, and makes independent samples begin differently.

    Raises:
        SettingsError: A value is out of range, or an id has two roles.
    """

    vocab: EditVocab
    eos_ids: frozenset[int]
    delimiters: frozenset[int]
    max_tokens: int
    temperature: float = 1.0
    edits_banned: bool = False
    # Not shown: what is told apart by how it is shown, files of corrections, never bans.
    tabu: Tabu = field(default=Tabu.OFF, repr=False)

    def __post_init__(self) -> None:
        if self.tabu is Tabu.LAST:
            raise SettingsError(
                "A search is asked for tabu=last, which bans tokens within a sample.", "Give first, or off."
            )
        if self.max_tokens < 1 or self.temperature < 0:
            raise SettingsError(
                f"max_tokens is {self.max_tokens} and temperature {self.temperature}.",
                "Give at least 1 token, and a temperature of at least 0.",
            )
        if self.vocab.edit_ids & (self.eos_ids | self.delimiters) or self.eos_ids & self.delimiters:
            raise SettingsError(
                "An id both edits and ends a step or a response, or ends both.", "Give each id one role."
            )

    def end(self, token_id: int) -> End | None:
        """Return what a token ends by its role, None if nothing."""
        if token_id in self.eos_ids:
            return End.EOS
        if token_id in self.vocab.edit_ids:
            return End.EDIT
        return End.STEP if token_id in self.delimiters else None

    def stop_ids(self, *, steps: bool = False) -> frozenset[int]:
        """Return the ids at which a sample stops: EOS and edits, and with ``steps`` delimiters."""
        return self.eos_ids | self.vocab.edit_ids | (self.delimiters if steps else frozenset())

    def steps(self, ids: Sequence[int]) -> list[tuple[int, ...]]:
        """Return a response cut into its steps, each with the delimiter or EOS that ends it.

        An EOS directly after a delimiter belongs to the step before it. The text after the last delimiter is
        a step too, ended or not.

        Args:
            ids: Token ids of a response, without edits.
        """
        found: list[tuple[int, ...]] = []
        start = 0
        for end, token in enumerate(ids, start=1):
            if token not in self.delimiters and end < len(ids):
                continue
            step = tuple(ids[start:end])
            if found and len(step) == 1 and token in self.eos_ids:
                found[-1] += step
            else:
                found.append(step)
            start = end
        return found


@dataclass(frozen=True)
class Response:
    """A response without edits, finished or not.

    Attributes:
        ids: Token ids, EOS included.
        logprobs: Log-probability of each id when it was sampled, in nats.
        entropies: Entropy of the distribution before each id, in nats; empty if the engine does not report
            it.
        edit_probs: Probability of an edit before each id; empty if the engine does not report it.
    """

    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    # What an engine tells beside makes no other response.
    entropies: tuple[float, ...] = field(default=(), compare=False)
    edit_probs: tuple[float, ...] = field(default=(), compare=False)

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability of the response's tokens in nats; 0 for an empty response."""
        return sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0

    @property
    def confidence(self) -> float:
        """Probability that the response is not taken back where it ends, in [0, 1].

        Raises:
            SettingsError: The engine does not report the probability of an edit.
        """
        if len(self.edit_probs) != len(self.ids) or not self.ids:
            raise SettingsError(
                "A response is to count by the probability that it is not taken back, which its engine does "
                "not report.",
                "Sample with transformers (--backend hf), or select by another rule.",
            )
        return 1.0 - self.edit_probs[-1]

    def extended(self, sample: "Sample") -> "Response":
        """Return the response with a sample after it, without the edit token that ended the sample."""
        kept = len(sample.ids) - (sample.end is End.EDIT)
        return Response(
            self.ids + sample.ids[:kept],
            self.logprobs + sample.logprobs[:kept],
            self.entropies + sample.entropies[:kept],
            self.edit_probs + sample.edit_probs[:kept],
        )

    def begun(self, kept: int) -> "Response":
        """Return the first ``kept`` tokens of the response."""
        return Response(self.ids[:kept], self.logprobs[:kept], self.entropies[:kept], self.edit_probs[:kept])

    def without_last_step(self, delimiters: Collection[int]) -> "Response":
        """Return the response without its last step, complete or not."""
        cut = len(self.ids) - 1
        while cut > 0 and self.ids[cut - 1] not in delimiters:
            cut -= 1
        return self.begun(max(cut, 0))


@dataclass(frozen=True)
class Request:
    """A request for one sample.

    Attributes:
        prefix: Token ids of the prompt and of the response so far.
        max_tokens: Largest number of tokens to sample.
        temperature: Sampling temperature; 0 is greedy.
        stop_ids: Ids at which to stop; the id that is met is part of the sample.
        banned_first: Ids that the sample may not begin with.
        writer: The model that is to write the sample.
        logprobs: Whether log-probabilities are needed; without them an engine may save the work.
        whole: Whether the sample is a whole raw trace, in which edits act, whatever the prefix shows behind
            the problem's prompt.
    """

    prefix: tuple[int, ...]
    max_tokens: int
    temperature: float
    stop_ids: frozenset[int]
    banned_first: frozenset[int] = NOTHING
    writer: Writer = Writer.POLICY
    logprobs: bool = True
    whole: bool = False


@dataclass(frozen=True)
class Sample:
    """A sample of T tokens.

    Attributes:
        ids: Token ids, at least one, the one that stopped the sample included.
        logprobs: Log-probability of each id under the sampling distribution, in nats; may be empty if the
            request did not ask for them.
        end: The reason why the sample ended.
        entropies: Entropy of the distribution before each id, in nats; empty if the engine does not report
            it.
        edit_probs: Probability of an edit before each id; empty if the engine does not report it.
        depths: Number of live tokens of the sample before each action, if a signal took back some of what was
            sampled; the actions are more than the ids then. Empty if each id is an action.
        erasures: Number of times that a signal took text back.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    end: End
    entropies: tuple[float, ...] = ()
    edit_probs: tuple[float, ...] = ()
    depths: tuple[int, ...] = ()
    erasures: int = 0


Search = Generator[list[Request], list[Sample], list[Response]]
"""A search of one problem: yields what it wants sampled, is sent the samples in order, returns the finished
responses it found."""

GuidedSearch = Generator[list[Request | ToRate], list[Sample | Rated], list[Response]]
"""A search of one problem that a scorer guides: it may want responses rated, too, beside samples or between
them, is sent a sample or a rating for each in order, and returns its answer before the others."""


def wanted(
    prompt: tuple[int, ...],
    state: Response,
    space: Space,
    *,
    steps: bool = False,
    banned_first: frozenset[int] = NOTHING,
    writer: Writer = Writer.POLICY,
) -> Request:
    """Return the request for one continuation of a state."""
    return Request(
        prefix=prompt + state.ids,
        max_tokens=space.max_tokens - len(state.ids),
        temperature=space.temperature,
        stop_ids=space.stop_ids(steps=steps),
        banned_first=banned_first,
        writer=writer,
    )
