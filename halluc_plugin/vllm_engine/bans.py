"""The logits processor of an engine that rewinds, for soft and hard requests."""

from typing import Any

from vllm.config import VllmConfig

from halluc_plugin.vllm_engine.budget import EditBudget
from halluc_plugin.vllm_engine.compat import require_tested_vllm
from halluc_plugin.vllm_engine.requirements import check_config, check_scheduler


class RewindBans(EditBudget):
    """Bans what :class:`EditBudget` bans, in hard context too; there also EOS below ``min_tokens``.

    It is built before the weights are loaded, so this is where an engine is refused that cannot rewind.

    Raises:
        HostVersionError: vLLM is outside the tested window.
        SettingsError: The engine cannot rewind exactly.
    """

    rewinds = True

    def __init__(self, vllm_config: VllmConfig, where: Any, is_pin_memory: bool = False) -> None:
        require_tested_vllm()
        check_config(vllm_config)  # which refuses model runner V2
        check_scheduler(vllm_config)
        super().__init__(vllm_config, where, is_pin_memory)
