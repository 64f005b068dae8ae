"""Count the cost of searches in tokens and forward slots; computed prefixes are not counted again."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from halluc_plugin.metrics import DecoderShape
from halluc_plugin.sampling.rating import Spent
from halluc_plugin.sampling.states import Request, Sample


@dataclass
class Cost:
    """The cost of a search.

    Attributes:
        tokens: Number of sampled tokens, edits and erased tokens included.
        context: Number of positions that all forward slots attended to together.
        slots: Number of forward slots: the prompt once, and each sampled token. A prefix that has been
            computed is not computed again, as in an engine with a prefix cache.
        rated: Cost of rating steps, by the scorer's own account.
    """

    tokens: int = 0
    context: int = 0
    slots: int = 0
    rated: Spent = field(default_factory=Spent)

    def prefill(self, length: int, reused: int = 0) -> None:
        """Add a prefix of ``length`` tokens, of which the first ``reused`` are not computed again."""
        self.slots += length - reused
        self.context += length * (length + 1) // 2 - reused * (reused + 1) // 2

    def add(self, prefix: int, sampled: int) -> None:
        """Add a sample of ``sampled`` tokens after a prefix of ``prefix`` tokens."""
        self.tokens += sampled
        self.prefill(prefix + sampled, reused=prefix)

    def add_actions(self, prefix: int, depths: Sequence[int]) -> None:
        """Add a sample of which some was taken back in hard context: one slot an action, each at its depth.

        Args:
            prefix: Number of tokens before the sample.
            depths: Number of live tokens of the sample before each action.
        """
        self.tokens += len(depths)
        self.slots += len(depths)
        self.context += sum(prefix + depth + 1 for depth in depths)

    def pay(self, request: Request, sample: Sample, computed: "Computed") -> None:
        """Add the sample of a request, whose prefix is computed as far as it was not before.

        Args:
            request: The request.
            sample: Its sample.
            computed: What was computed before; what is computed now is added.
        """
        self.prefill(len(request.prefix), reused=computed.reused(request.prefix))
        if sample.depths:
            self.add_actions(len(request.prefix), sample.depths)
        else:
            self.add(len(request.prefix), len(sample.ids))
        computed.add(request.prefix + sample.ids)

    def flops(self, shape: DecoderShape) -> int:
        """Return the forward FLOPs by :meth:`halluc_plugin.metrics.DecoderShape.flops`, rating included."""
        return shape.flops(self.slots, self.context) + self.rated.flops


class Computed:
    """The sequences that one model has computed for one search, whose prefixes can be reused."""

    def __init__(self) -> None:
        self._sequences: list[tuple[int, ...]] = []

    def add(self, ids: tuple[int, ...]) -> None:
        """Remember a sequence."""
        insort(self._sequences, ids)

    def reused(self, ids: tuple[int, ...]) -> int:
        """Return how many of the first ids have already been computed in this order."""
        # In sorted order the sequence that shares most stands beside where this one would stand.
        at = bisect_left(self._sequences, ids)
        return max((_shared(ids, other) for other in self._sequences[max(at - 1, 0) : at + 1]), default=0)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    for length, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return length
    return min(len(one), len(other))


def cost_of(prompt: tuple[int, ...], samples: Sequence[tuple[Request, Sample]]) -> Cost:
    """Return what one model's samples for a problem cost.

    Args:
        prompt: Token ids of the problem's prompt, which is computed first.
        samples: The requests and their samples, in order.
    """
    cost, computed = Cost(), Computed()
    cost.prefill(len(prompt))
    computed.add(prompt)
    for request, sample in samples:
        cost.pay(request, sample, computed)
    return cost
