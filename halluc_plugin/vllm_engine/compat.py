"""Every dependence on a version of vLLM, with the version in the condition."""

import vllm
from packaging.version import Version

from halluc_plugin.errors import HostVersionError

OLDEST_VLLM = Version("0.28.0")
FIRST_UNTESTED_VLLM = Version("0.29")


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
            f"pip install 'vllm{window}', or a release of halluc for your vLLM, or context=soft.",
        )
