"""Let a model choose the most consistent of its own answers: universal self-consistency.

X. Chen et al., arXiv 2311.17311. Deviations from the paper:

1. The paper asks in words which of the numbered answers is the most consistent, and reads the number. Here
   the model reads all answers and a request for another, and the one is chosen that it would most likely
   write then, by mean log-probability: small models know no such numbers.
2. Answers are shown as they are, in the order in which they were sampled, repeated ones as often as they
   came.
"""

from collections.abc import Sequence
from typing import Any

from halluc_plugin.data.shown_answers import shown
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.costs import Cost
from halluc_plugin.sampling.networks import decoder_shape, log_probs
from halluc_plugin.sampling.states import Response


class ConsistencyScorer:
    """Scores each response by how likely a model writes it after it has read all of them.

    Args:
        model: The model that wrote them, a causal language model in eval mode.
        request: Token ids behind the shown responses, which ask for another.
        vocab: The vocabulary that says which ids exist; None for all rows of the model.

    Raises:
        SettingsError: The request is empty.
    """

    def __init__(self, model: Any, request: Sequence[int], vocab: EditVocab | None = None) -> None:
        if not request:
            raise SettingsError(
                "The request behind shown answers is empty.", "Give the text that asks for another answer."
            )
        self._model, self._request, self._vocab = model, tuple(request), vocab

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> list[float]:
        """Return the mean log-probability of each response behind all of them, in nats."""
        prefix = self._prefix(prompt, responses)
        distinct = dict.fromkeys(response.ids for response in responses)
        found = {ids: log_probs(self._model, prefix, ids, self._vocab) for ids in distinct}
        return [sum(found[r.ids]) / len(r.ids) for r in responses]

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """Return the forward FLOPs of scoring: what is read once, and each distinct response behind it."""
        return self.cost(prompt, responses).flops(decoder_shape(self._model.config))

    def cost(self, prompt: Sequence[int], responses: Sequence[Response]) -> Cost:
        """Return the slots of scoring, as :meth:`flops` counts them; nothing of it is sampled."""
        cost, prefix = Cost(), self._prefix(prompt, responses)
        cost.prefill(len(prefix))
        for ids in dict.fromkeys(response.ids for response in responses):
            cost.prefill(len(prefix) + len(ids), reused=len(prefix))
        return cost

    def _prefix(self, prompt: Sequence[int], responses: Sequence[Response]) -> tuple[int, ...]:
        return shown(prompt, [response.ids for response in responses], self._request)
