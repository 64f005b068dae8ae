"""Keep every dependence on a version of vLLM in one place.

These are the window of tested versions, and the place where vLLM's front end keeps what a request is checked
against. The same code runs on the whole window: tests/vllm_engine/rewind_on_cpu.py was run with the CPU
builds 0.24.0, 0.25.1, 0.26.0, 0.27.1, 0.28.0 and 0.29.0 (which wants blocks of 32), each exact.
"""

import inspect
import pkgutil
import sys
from dataclasses import dataclass
from typing import Any

import vllm
from packaging.version import Version
from vllm.sampling_params import SamplingParams

from halluc_plugin.errors import HostVersionError
from halluc_plugin.vllm_engine.served import Served

OLDEST_VLLM = Version("0.24.0")
FIRST_UNTESTED_VLLM = Version("0.30")


def require_tested_vllm() -> None:
    """Refuse a vLLM outside the tested window.

    It is called when a rewinding engine starts, never on installation. The scheduler uses private parts of
    vLLM, whose change could corrupt answers silently.

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


async def look_up_server(state: Any) -> Served:
    """Return the description of its server that the middleware of :mod:`.serving` needs.

    Args:
        state: The state of the server's application, which vLLM's ``init_app_state`` has filled.
    """
    from transformers import PreTrainedTokenizerBase

    # A server without an engine (``vllm launch render``) has None there.
    tokenizer = None if state.engine_client is None else getattr(state.engine_client, "tokenizer", None)
    chat = getattr(state, "openai_serving_chat", None)
    return Served(
        tokenizer if isinstance(tokenizer, PreTrainedTokenizerBase) else None,
        parses_chats=getattr(chat, "parser_cls", None) is not None,
        limits_edits=any(map(_limits_edits, state.vllm_config.model_config.logits_processors or ())),
    )


def _limits_edits(processor: Any) -> bool:
    """Whether a logits processor, or the one of this name, is halluc's."""
    found = pkgutil.resolve_name(processor) if isinstance(processor, str) else processor
    return bool(getattr(found, "limits_edits", False))


@dataclass(frozen=True)
class Model:
    """The properties of a model against which a request is checked.

    Attributes:
        vocab_size: Number of ids of the model.
        eos_ids: Ids that end a text, as far as they are known.
    """

    vocab_size: int
    eos_ids: frozenset[int] = frozenset()


def model_of_checked_request() -> Model | None:
    """Return the model for which vLLM's front end is checking a request now, None outside of a check.

    ``LogitsProcessor.validate_params`` is given the sampling parameters and nothing else, in a process where
    no processor is ever built. ``SamplingParams.verify``, which calls it on the whole window, has the model's
    configuration and tokenizer among its arguments; they are looked up there.
    """
    check = inspect.unwrap(SamplingParams.verify).__code__  # whoever may have wrapped it
    frame = sys._getframe(1)  # noqa: SLF001 - CPython's own way to the callers
    while frame is not None and frame.f_code is not check:
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    config, tokenizer = frame.f_locals["model_config"], frame.f_locals["tokenizer"]
    eos = getattr(config.hf_text_config, "eos_token_id", None)
    ends = {*(eos if isinstance(eos, list | tuple) else [eos]), getattr(tokenizer, "eos_token_id", None)}
    return Model(config.get_vocab_size(), frozenset(end for end in ends if end is not None))
