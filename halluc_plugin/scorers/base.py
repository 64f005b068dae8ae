"""The interface of a scorer of responses."""

from collections.abc import Sequence
from typing import Protocol

from halluc_plugin.sampling.states import Response


class Scorer(Protocol):
    """Scores responses to a prompt; :class:`halluc_plugin.scorers.likelihood.ModelScorer` is one."""

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> Sequence[float]:
        """Return a score of each response, the higher the better.

        Args:
            prompt: Token ids of the prompt.
            responses: The responses.
        """
        ...

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """Return the forward FLOPs of scoring these responses."""
        ...
