"""What a scorer of responses is."""

from collections.abc import Sequence
from typing import Protocol

from halluc_plugin.sampling.states import Response


class Scorer(Protocol):
    """Scores responses to a prompt; :class:`halluc_plugin.scorers.likelihood.ModelScorer` is one."""

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> Sequence[float]:
        """A score of each, the higher the better."""
        ...

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """What scoring them costs."""
        ...
