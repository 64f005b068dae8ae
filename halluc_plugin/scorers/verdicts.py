"""A learned verifier: a model that ends a response by a token that says whether it is right.

This is the outcome verifier of K. Cobbe et al., "Training Verifiers to Solve Math Word Problems" (arXiv
2110.14168), with a token instead of a head of its own (as in L. Zhang et al., "Generative Verifiers", arXiv
2408.15240, without reasoning), so that it is fine-tuned like any other model.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.errors import TokenizerError
from halluc_plugin.probes.next_logits import logits_behind
from halluc_plugin.sampling.driver import Cost, Found, Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.sampling.problems import PosedProblem, text_of
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Response, Space
from halluc_plugin.verifiers import Outcome

WRONG, RIGHT = "0", "1"
ROWS = 64
"""Number of responses in a forward pass."""


class VerdictScorer:
    """Scores responses by the log-odds of the token for right against that for wrong.

    Args:
        model: A causal language model that was fine-tuned on :func:`verdict_example`, in eval mode.
        tokenizer: The tokenizer of the responses.

    Raises:
        TokenizerError: The tokenizer does not write ``0`` or ``1`` as one token.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._shape = model, decoder_shape(model.config)
        self._wrong, self._right = (verdict_id(tokenizer, text) for text in (WRONG, RIGHT))

    def score(self, prompt: Sequence[int], responses: Sequence[Response]) -> list[float]:
        """Return the log-odds that each response is right, in nats."""
        distinct = list(dict.fromkeys(response.ids for response in responses))
        odds = dict(zip(distinct, self._log_odds(prompt, distinct), strict=True))
        return [odds[response.ids] for response in responses]

    def flops(self, prompt: Sequence[int], responses: Sequence[Response]) -> int:
        """Return the forward FLOPs of scoring: one pass over each distinct response, the prompt once."""
        cost = Cost()
        cost.prefill(len(prompt))
        for ids in {response.ids for response in responses}:
            cost.add(len(prompt), len(ids))
        return cost.flops(self._shape)

    def _log_odds(self, prompt: Sequence[int], responses: Sequence[tuple[int, ...]]) -> list[float]:
        odds: list[float] = []
        for start in range(0, len(responses), ROWS):
            rows = [[*prompt, *ids] for ids in responses[start : start + ROWS]]
            logits = logits_behind(self._model, rows)
            odds += (logits[:, self._right] - logits[:, self._wrong]).tolist()
        return odds


def verdict_example(
    prompt: Sequence[int], response: Sequence[int], *, correct: bool, tokenizer: Any
) -> TraceRow:
    """Return a training example of a verifier: the prompt with the response, then the verdict.

    Args:
        prompt: Token ids of the problem's prompt.
        response: Token ids of the response, EOS included.
        correct: Whether the response is right.
        tokenizer: The tokenizer of these ids.

    Raises:
        TokenizerError: The tokenizer does not write the verdict as one token.
    """
    return TraceRow([*prompt, *response], [verdict_id(tokenizer, RIGHT if correct else WRONG)])


def verdict_rows(problems: Sequence[PosedProblem], found: Sequence[Found], tokenizer: Any) -> list[TraceRow]:
    """Return the training examples of a verifier, one for each distinct answer found.

    Args:
        problems: The problems, whose verifiers judge the answers.
        found: The answers found for each problem.
        tokenizer: The tokenizer of the ids.

    Raises:
        TokenizerError: The tokenizer does not write a verdict as one token.
    """
    rows = []
    for problem, result in zip(problems, found, strict=True):
        for response in {response.ids: response for response in result.responses}.values():
            outcome = problem.verifier.verify(problem.truth, text_of(response, tokenizer))
            right = outcome is Outcome.CORRECT
            rows.append(verdict_example(problem.prompt, response.ids, correct=right, tokenizer=tokenizer))
    return rows


@dataclass(frozen=True)
class Verdicts:
    """Makes the rows of a part of a file: a model's answers, each with its verifier's verdict.

    Attributes:
        sampler: The model that answers.
        space: The space in which the model is sampled.
        tokenizer: The model's tokenizer.
        samples: Number of answers to each problem.
        seed: Seed of the samples, if the sampler can be seeded.
    """

    sampler: Sampler
    space: Space
    tokenizer: Any
    samples: int
    seed: int

    def __call__(
        self, number: int, problems: Sequence[PosedProblem]
    ) -> tuple[list[dict[str, Any]], Counter[str]]:
        """Rows and counts; an answer that comes twice gives one row."""
        seed_part(self.sampler, self.seed, number)
        prompts = [problem.prompt for problem in problems]
        searches = [independent(prompt, self.space, self.samples) for prompt in prompts]
        rows = verdict_rows(problems, run(searches, prompts, self.sampler), self.tokenizer)
        right = verdict_id(self.tokenizer, RIGHT)
        said = Counter("right" if row.response_ids == [right] else "wrong" for row in rows)
        return [row.columns() for row in rows], said


def verdict_id(tokenizer: Any, text: str) -> int:
    """Return the token id of a verdict.

    Raises:
        TokenizerError: The tokenizer does not write the verdict as one token.
    """
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        raise TokenizerError(
            f"The verdict {text!r} is {len(ids)} tokens of this tokenizer.",
            "Use a tokenizer in which it is one.",
        )
    return int(ids[0])
