"""Room "vLLM": check that its engine can load halluc's logits processor."""

from importlib.util import find_spec
from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import fresh, packages
from halluc_plugin.vllm_engine.launch import SOFT_PROCESSOR


def checks(call: fresh.Call) -> list[Check]:
    """Import the logits processor as vLLM's engine does.

    Args:
        call: Calls a function in another Python process; see :class:`halluc_plugin.doctor.fresh.Call`.
    """
    if find_spec("vllm") is None:
        return [Check("vLLM", CheckStatus.ABSENT, "not installed", packages.INSTALL_VLLM)]
    name = "logits processor"
    try:
        seen = call("halluc_plugin.doctor.vllm:observe", beside="vllm")
    except fresh.FreshPythonError as error:
        fix = "Install a vLLM near the tested version (see the room packages); budgets need it."
        return [Check(name, CheckStatus.FAIL, str(error), fix)]
    if not seen["is_processor"]:
        fix = "Install a vLLM near the tested version: this one wants another interface."
        return [Check(name, CheckStatus.FAIL, f"{SOFT_PROCESSOR} is none for this vLLM", fix)]
    return [
        Check(name, CheckStatus.OK, SOFT_PROCESSOR),
        Check("platform", CheckStatus.OK, f"vLLM runs on {seen['platform'] or 'nothing it knows'} here"),
    ]


def observe() -> dict[str, Any]:
    """Import vLLM and return what was found; called in a Python process of its own."""
    from importlib import import_module

    from vllm.platforms import current_platform
    from vllm.v1.sample.logits_processor import LogitsProcessor

    module, name = SOFT_PROCESSOR.split(":")
    processor = getattr(import_module(module), name)
    return {"is_processor": issubclass(processor, LogitsProcessor), "platform": current_platform.device_type}
