"""Find what the rollout engine allows an answer, and which ids end one there."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig

from halluc_plugin.rl.ending import ended
from halluc_plugin.tokens.ends import end_ids
from halluc_plugin.tokens.loading import load_generation_config
from verl_ext.preflight.models import known_model


class ById:
    """Makes an object a cache key by its identity.

    verl builds a loop for every trajectory of one config.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and self.value is other.value


@dataclass(frozen=True)
class EngineLimits:
    """The limits of one run's rollout engine.

    Attributes:
        response_length: Number of raw actions that verl asks for by default.
        positions: Number of tokens that a prompt and its answer may have together; None if unknown.
        ends: Ids that end an answer: EOS of the tokenizer and of the model; none with ``ignore_eos``.
    """

    response_length: int
    positions: int | None
    ends: frozenset[int]

    @classmethod
    def of(cls, config: DictConfig, tokenizer: Any) -> "EngineLimits":
        """Return the limits that follow from verl's whole config, as its server computes them."""
        rollout, model = config.actor_rollout_ref.rollout, config.actor_rollout_ref.model
        known = known_model(model)
        positions = rollout.get("max_model_len") or getattr(known, "max_position_embeddings", None)
        generation = load_generation_config(str(model.path)) or known
        by_config = getattr(generation, "eos_token_id", None)
        ends = frozenset() if rollout.get("ignore_eos", False) else end_ids(tokenizer, by_config, ())
        return cls(int(rollout.response_length), None if positions is None else int(positions), ends)

    def cut_off(
        self, ids: list[int], prompt: int, sampling_params: dict[str, Any], reason: str | None = None
    ) -> bool:
        """Return whether an answer was cut off.

        Args:
            ids: Token ids of the raw trace.
            prompt: Number of tokens of the prompt.
            sampling_params: The sampling parameters of the request; without ``max_tokens`` verl's own limit
                applies.
            reason: The ``stop_reason`` of verl.
        """
        allowed = int(sampling_params.get("max_tokens") or self.response_length)
        if self.positions is not None:
            allowed = max(1, min(allowed, self.positions - prompt))  # as verl's server does
        ends = self.ends | frozenset(sampling_params.get("stop_token_ids") or ())
        return not ended(ids, allowed, ends, reason)


@lru_cache(maxsize=8)
def limits_of(config: ById, tokenizer: ById) -> EngineLimits:
    """Return the limits of :meth:`EngineLimits.of`, computed once for the loops of a run."""
    return EngineLimits.of(config.value, tokenizer.value)
