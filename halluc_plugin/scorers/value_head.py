"""A process reward model: a language model's trunk with a head that values a prefix.

The value of a prefix is σ of the head's logit at its last id. The model is saved as a token classifier with
one label, which transformers (``AutoModelForTokenClassification``) and vLLM load without this package.
Trained by Monte-Carlo values it is the PRM of OpenReview hJ2BCYGvFg, section 2; by outcomes alone an outcome
reward model (K. Cobbe et al., arXiv 2110.14168); by pairs of a right and a wrong response the Q-function
reward model of H. Chen et al., "Discriminative Policy Optimization for Token-Level Reward Models" (arXiv
2505.23363), whose logit of a token in its context is linear in Q.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from transformers import DynamicCache

from halluc_plugin.errors import TokenizerError
from halluc_plugin.scorers.prefixes import Batch, Prefixes, batches
from halluc_plugin.tokens.loading import load_token_classifier

TOKENS = 1 << 14
"""Number of ids in a forward pass, padding included."""
UNLEARNED = 0.5
"""Value of a bare prompt if only differences between responses to it were learned."""


class ValueHead:
    """Reads values from a token classifier with one label.

    Args:
        model: A transformers token classifier with one label, in eval mode.
        from_prompt: Whether the value of the bare prompt was learned; otherwise it is :data:`UNLEARNED`.
    """

    def __init__(self, model: Any, *, from_prompt: bool = True) -> None:
        self._model, self._from_prompt = model, from_prompt

    @torch.no_grad()
    def values(self, rows: Sequence[Prefixes]) -> list[list[float]]:
        """Return the value of each prefix, as :meth:`halluc_plugin.scorers.prefixes.Reader.values`.

        A prompt that several rows have is computed once.
        """
        found: dict[int, list[float]] = {}
        of_prompt: dict[tuple[int, ...], list[int]] = {}
        for number, row in enumerate(rows):
            if len(row.ends) > 1:
                of_prompt.setdefault(row.ids[: row.ends[0]], []).append(number)
        for prompt, numbers in of_prompt.items():
            if len(numbers) > 1:
                of_group = self._behind(prompt, [rows[number] for number in numbers])
                found.update(zip(numbers, of_group, strict=True))
        alone = [number for number in range(len(rows)) if number not in found]
        for places, batch in batches([rows[number] for number in alone], self._model, TOKENS):
            for place, values in zip(places, self._read(batch, attention_mask=batch.mask), strict=True):
                found[alone[place]] = values[: len(rows[alone[place]].ends)]
        return [self._known(found[number]) for number in range(len(rows))]

    def _behind(self, prompt: tuple[int, ...], rows: Sequence[Prefixes]) -> list[list[float]]:
        """Values of rows that begin with one prompt."""
        start, device = len(prompt), self._model.device
        cache = DynamicCache(config=self._model.config)
        logits = self._model(
            input_ids=torch.tensor([prompt], device=device), past_key_values=cache, use_cache=True
        ).logits
        first = float(logits[0, -1, 0].float().sigmoid())
        rest = [Prefixes(row.ids[start:], tuple(end - start for end in row.ends[1:])) for row in rows]
        found: dict[int, list[float]] = {}
        for numbers, batch in batches(rest, self._model, TOKENS, cached=start):
            behind = deepcopy(cache)
            behind.batch_repeat_interleave(len(numbers))
            # Padding stands on the right, where no id sees it: no mask is needed.
            for number, values in zip(numbers, self._read(batch, past_key_values=behind), strict=True):
                found[number] = [first, *values[: len(rest[number].ends)]]
        return [found[number] for number in range(len(rows))]

    def _read(self, batch: Batch, **context: Any) -> list[list[float]]:
        logits = self._model(input_ids=batch.ids, use_cache="past_key_values" in context, **context).logits
        read: list[list[float]] = logits[..., 0].float().gather(1, batch.last).sigmoid().tolist()
        return read

    def _known(self, values: list[float]) -> list[float]:
        return values if self._from_prompt else [UNLEARNED, *values[1:]]


def new_value_head(policy: str, *, trust_remote_code: bool = False) -> Any:
    """Return a policy's trunk with a new head, whose value is 1/2 everywhere.

    Args:
        policy: The policy's folder or hub name.
        trust_remote_code: Whether code that comes with it may run.

    Returns:
        A transformers token classifier in float32, with one label.

    Raises:
        TokenizerError: The policy cannot be loaded, or transformers has no token classifier of its kind with
            one linear layer named ``score``, which vLLM expects too.
    """
    made = load_token_classifier(
        policy, new_head=True, trust_remote_code=trust_remote_code, num_labels=1, dtype="float32"
    )
    if not isinstance(getattr(made, "score", None), torch.nn.Linear):
        raise TokenizerError(
            f"A {type(made).__name__} has no head of one linear layer.",
            "Use a kind of model whose token classifier has one, such as Llama, Mistral or Qwen.",
        )
    # transformers would drop a tenth of what one linear layer reads.
    made.config.classifier_dropout = made.dropout.p = 0.0
    # The first loss is that of knowing nothing, and the first gradient that of the head alone.
    for weights in made.score.parameters():
        torch.nn.init.zeros_(weights)
    return made


def is_trunk_of(head: Any, policy: Any) -> bool:
    """Return whether a token classifier's trunk is the policy's, weight for weight."""
    mine, its = head.base_model.state_dict(), policy.base_model.state_dict()
    return mine.keys() == its.keys() and all(
        mine[name].shape == its[name].shape and torch.equal(mine[name], its[name].to(mine[name]))
        for name in mine
    )


def share_trunk(head: Any, policy: Any) -> Any:
    """Replace the trunk of a value head by the policy's, so that one copy is in memory.

    The policy may be of half precision: the head goes on to compute in its own.

    Args:
        head: A token classifier whose trunk was frozen in training.
        policy: The policy whose trunk that is.

    Returns:
        The head on the policy's trunk.

    Raises:
        TokenizerError: The two trunks differ.
    """
    if not is_trunk_of(head, policy):
        raise TokenizerError(
            "The value head was trained on another trunk than the policy's.",
            "Load it with a trunk of its own, or train it on this policy with the trunk frozen.",
        )
    setattr(head, head.base_model_prefix, policy.base_model)
    head.score.register_forward_pre_hook(lambda score, read: (read[0].to(score.weight),))
    return head
