"""A process reward model: a language model's trunk with a head that values a prefix.

The value of a prefix is σ of the head's logit at its last id. The model is saved as a token classifier with
one label, which transformers (``AutoModelForTokenClassification``) and vLLM load without this package.
Trained by Monte-Carlo values it is the PRM of OpenReview hJ2BCYGvFg, section 2; by outcomes alone an outcome
reward model (K. Cobbe et al., arXiv 2110.14168); by pairs of a right and a wrong response the Q-function
reward model of H. Chen et al., "Discriminative Policy Optimization for Token-Level Reward Models" (arXiv
2505.23363), whose logit of a token in its context is linear in Q.
"""

from collections.abc import Sequence
from typing import Any

import torch

from halluc_plugin.errors import TokenizerError
from halluc_plugin.scorers.prefixes import Prefixes, batches
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
        """Return the value of each prefix, as :meth:`halluc_plugin.scorers.prefixes.Reader.values`."""
        found: dict[int, list[float]] = {}
        for numbers, batch in batches(rows, self._model, TOKENS):
            logits = self._model(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False).logits
            read = logits[..., 0].float().gather(1, batch.last).sigmoid().tolist()
            for number, values in zip(numbers, read, strict=True):
                kept = values[: len(rows[number].ends)]
                found[number] = kept if self._from_prompt else [UNLEARNED, *kept[1:]]
        return [found[number] for number in range(len(rows))]


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
    return head
