"""The actor's engine config with the ``halluc:`` block, by which it reaches a training worker."""

from dataclasses import dataclass, field
from typing import Any

from verl.workers.config import FSDPEngineConfig

from verl_ext.host_settings.keys import OWN_STRATEGY, STOCK_STRATEGY


@dataclass
class BacktrackEngineConfig(FSDPEngineConfig):
    """verl's FSDP config plus the run's settings; selected by ``_target_`` of ``actor.fsdp_config``.

    A worker is given ``actor_rollout_ref`` only, so the block travels as a field of the engine's own config.

    Args:
        halluc: The ``halluc:`` block, read by :func:`halluc_plugin.settings.load`.
    """

    halluc: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # verl's SFT trainer names the engine here, and its check knows its own names only.
        own = self.strategy == OWN_STRATEGY
        if own:
            object.__setattr__(self, "strategy", STOCK_STRATEGY)
        super().__post_init__()
        if own:
            object.__setattr__(self, "strategy", OWN_STRATEGY)
