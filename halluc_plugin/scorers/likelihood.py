"""Score responses by how likely another model finds them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import TokenizerError
from halluc_plugin.sampling.driver import Cost
from halluc_plugin.sampling.networks import decoder_shape, load_network, log_probs
from halluc_plugin.sampling.states import Response
from halluc_plugin.tokens.loading import load_tokenizer


class Says(StrEnum):
    """The form of a verifier model's judgement of an answer."""

    LIKELIHOOD = "likelihood"
    """The likelihood of the answer: the mean log-probability of its tokens."""
    VERDICT = "verdict"
    """The verdict whether it is right; see :mod:`halluc_plugin.scorers.verdicts`."""


class ModelScorer:
    """Scores responses by their mean log-probability under another model.

    Args:
        model: A causal language model in eval mode with the ids of the responses (:func:`load_verifier`).
        vocab: The vocabulary that says which ids exist; None for all rows of the model.
    """

    def __init__(self, model: Any, vocab: EditVocab | None = None) -> None:
        self._model, self._vocab = model, vocab
        self._shape = decoder_shape(self._model.config)

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> list[float]:
        """Return the mean log-probability of each response in nats."""
        found = (log_probs(self._model, prompt, response.ids, self._vocab) for response in responses)
        return [sum(scores) / len(scores) for scores in found]

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """Return the forward FLOPs of scoring: one pass over each response, the prompt once."""
        cost = Cost()
        cost.prefill(len(prompt))
        for response in responses:
            cost.add(len(prompt), len(response.ids))
        return cost.flops(self._shape)


def load_verifier(model: str, tokenizer: Any, *, trust_remote_code: bool = False) -> Any:
    """Load a model that judges responses, in eval mode.

    Args:
        model: The model's folder or hub name.
        tokenizer: The tokenizer of the responses.
        trust_remote_code: Whether code that comes with it may run.

    Raises:
        TokenizerError: The model cannot be loaded, or has other ids.
    """
    if fingerprint(load_tokenizer(model, trust_remote_code=trust_remote_code)) != fingerprint(tokenizer):
        raise TokenizerError(
            f"The verifier {model} has another tokenizer than the model that answers.",
            "Use a verifier with the same ids.",
        )
    return load_network(model, trust_remote_code=trust_remote_code)
