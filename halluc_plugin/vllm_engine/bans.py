"""The logits processor of an engine that rewinds; serves soft and hard requests."""

import torch
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams, SamplingType

from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Context
from halluc_plugin.vllm_engine.budget import EditBudget
from halluc_plugin.vllm_engine.compat import require_tested_vllm
from halluc_plugin.vllm_engine.request import PREFIX, EditRequest
from halluc_plugin.vllm_engine.requirements import check_config, check_scheduler


class RewindBans(EditBudget):
    """Bans what :class:`EditBudget` bans, in hard context too; there also EOS below ``min_tokens``.

    It is built before the weights are loaded, so this is where an engine is refused that cannot rewind.

    Raises:
        HostVersionError: vLLM is outside the tested window.
        SettingsError: The engine cannot rewind exactly.
    """

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        require_tested_vllm()
        check_config(vllm_config)
        check_scheduler(vllm_config)
        super().__init__(vllm_config, device, is_pin_memory)

    @classmethod
    def _check(cls, request: EditRequest, params: SamplingParams) -> None:
        if request.context is Context.SOFT:
            return
        if params.structured_outputs is not None:
            raise SettingsError(
                "A request in hard context asks for structured output, whose grammar cannot be rewound.",
                f"Leave one out, or set {PREFIX}context=soft.",
            )
        if params.stop:
            raise SettingsError(
                f"A request in hard context has stop strings {params.stop}, which would match erased text.",
                "Use stop_token_ids, or cut the collapsed answer yourself.",
            )
        if params.thinking_token_budget is not None:
            raise SettingsError(
                "A request in hard context has a thinking_token_budget, which counts erased tokens.",
                "Leave it out.",
            )
        stops = request.vocab.edit_ids & (params.all_stop_token_ids | set(params.stop_token_ids or ()))
        if stops:
            raise SettingsError(f"Edit token {min(stops)} is a stop token too.", "Take it out of the stops.")
        if params.sampling_type is SamplingType.GREEDY and not request.tabu and request.budget is None:
            raise SettingsError(
                "Greedy decoding in hard context returns to the same state after every edit and loops.",
                f"Set {PREFIX}tabu, {PREFIX}budget, or a temperature above 0.",
            )
