"""What the rollout engine allows an answer, and which ids end one there."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from omegaconf import DictConfig

from halluc_plugin.rl.ending import ended
from halluc_plugin.tokens.ends import end_ids
from halluc_plugin.tokens.loading import load_generation_config
from verl_ext.preflight.models import known_model


class ById:
    """Makes an object a cache key by identity; verl builds a loop for every trajectory of one config."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and self.value is other.value


@dataclass(frozen=True)
class EngineLimits:
    """Limits of one run's rollout engine.

    Attributes:
        response_length: Raw actions that verl asks for where nobody asks for others.
        positions: Tokens that a prompt and its answer may have together, None if unknown.
        ends: Ids that end an answer: EOS of the tokenizer and all of the model's; none with ``ignore_eos``.
    """

    response_length: int
    positions: int | None
    ends: frozenset[int]

    @classmethod
    def of(cls, config: DictConfig, tokenizer: Any) -> "EngineLimits":
        """The limits that follow from verl's whole config, as its server works them out."""
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
        """Whether an answer was cut off.

        Args:
            ids: The raw trace.
            prompt: Tokens before it.
            sampling_params: What was asked for; without ``max_tokens`` it is verl's own limit.
            reason: verl's ``stop_reason``.
        """
        allowed = int(sampling_params.get("max_tokens") or self.response_length)
        if self.positions is not None:
            allowed = max(1, min(allowed, self.positions - prompt))  # as verl's server does
        ends = self.ends | frozenset(sampling_params.get("stop_token_ids") or ())
        return not ended(ids, allowed, ends, reason)


@lru_cache(maxsize=8)
def limits_of(config: ById, tokenizer: ById) -> EngineLimits:
    """:meth:`EngineLimits.of`, read once for the loops of a run."""
    return EngineLimits.of(config.value, tokenizer.value)
