"""Every dependence on a version of vLLM.

There is none but the window: one code runs on all of it. tests/vllm_engine/rewind_on_cpu.py was run with the
CPU builds 0.24.0, 0.25.1, 0.26.0, 0.27.1, 0.28.0 and 0.29.0 (which wants blocks of 32), each exact.
"""

import vllm
from packaging.version import Version

from halluc_plugin.errors import HostVersionError

OLDEST_VLLM = Version("0.24.0")
FIRST_UNTESTED_VLLM = Version("0.30")


def require_tested_vllm() -> None:
    """Refuse a vLLM outside the tested window; called when a rewinding engine starts, never on install.

    The scheduler uses private parts of vLLM, whose change could corrupt answers silently.

    Raises:
        HostVersionError: vLLM is too old or too new.
    """
    installed = Version(Version(vllm.__version__).public)
    if not OLDEST_VLLM <= installed < FIRST_UNTESTED_VLLM:
        window = f">={OLDEST_VLLM},<{FIRST_UNTESTED_VLLM}"
        raise HostVersionError(
            f"vLLM {installed} is installed; hard context is tested with vLLM {window}.",
            f"Run `pip install 'vllm{window}'`, or take a release of halluc for your vLLM, or context=soft.",
        )
