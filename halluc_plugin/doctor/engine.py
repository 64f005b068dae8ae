"""Room "engine" (``halluc doctor --engine``): check that the installed vLLM rewinds exactly.

A tiny random model answers in hard context, and transformers recomputes every action from the collapsed text.
This takes about half a minute.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.doctor import fresh, packages

TOLERANCE = 1e-3
"""Largest accepted difference in nats. Float32 engines are within 1e-5 on a CPU; a poisoned cache is off by
0.1 and more."""
BLOCK_SIZE = 32
FIX = "Do not use context=hard with this vLLM; report its version and what else is red here."


def checks(call: fresh.Call) -> list[Check]:
    """Try the engine in another Python process and return the lines of the room.

    Args:
        call: Calls a function in another Python process; see :class:`halluc_plugin.doctor.fresh.Call`.
    """
    if find_spec("vllm") is None:
        return [Check("engine", CheckStatus.ABSENT, "vLLM is not installed", packages.INSTALL_VLLM)]
    try:
        return checks_of(call("halluc_plugin.doctor.engine:observe"))
    except fresh.FreshPythonError as error:
        return [Check("engine", CheckStatus.FAIL, str(error), "Read the message; or use context=soft.")]


def checks_of(seen: dict[str, Any]) -> list[Check]:
    """Return the lines about what :func:`observe` returned."""
    strays, traces = seen["strays"], seen["traces"]
    lines = [Check("engine", CheckStatus.OK, f"vLLM {seen['version']} on {seen['device']}")]
    same = f"{traces - strays} of {traces} greedy traces are those of a model without a cache"
    lines.append(Check("greedy traces", *_verdict(good=strays == 0, detail=same)))
    for name, worst in (("log-probs", seen["sampled"]), ("prefix cache", seen["shared"])):
        detail = f"largest difference {worst:.1e} nats over {seen['actions'][name]} actions"
        lines.append(Check(name, *_verdict(good=worst < TOLERANCE, detail=detail)))
    return lines


def _verdict(*, good: bool, detail: str) -> tuple[CheckStatus, str, str]:
    return (CheckStatus.OK, detail, "") if good else (CheckStatus.FAIL, detail, FIX)


def observe(**engine_args: Any) -> dict[str, Any]:
    """Start an engine in this process and compare it with transformers.

    It is called in a Python process of its own.

    Args:
        **engine_args: Arguments of vLLM's engine that override those of the trial.

    Returns:
        The JSON-able findings that :func:`checks_of` reads.
    """
    # The second because a CPU engine else takes half of the memory.
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR"}
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    import vllm
    from vllm.platforms import current_platform

    from halluc_plugin.decoding.policy import Tabu
    from halluc_plugin.vllm_engine.equivalence import random_model
    from halluc_plugin.vllm_engine.launch import ENGINE_ARGS
    from halluc_plugin.vllm_engine.trial import ask, ask_with_readers

    with tempfile.TemporaryDirectory() as folder:
        model = random_model(Path(folder))
        arguments = {
            "model": folder, "skip_tokenizer_init": True, "dtype": "float32", "enforce_eager": True,
            "logprobs_mode": "processed_logprobs", "max_model_len": 256, "max_num_seqs": 12, "seed": 0,
            "max_num_batched_tokens": 64, "num_gpu_blocks_override": 200, "block_size": BLOCK_SIZE,
            "gpu_memory_utilization": 0.2,
        }  # fmt: skip
        llm = vllm.LLM(**(arguments | ENGINE_ARGS | engine_args))
        rules = (Tabu.LAST, Tabu.FIRST)
        asked = [question for tabu in rules for question in _questions(8, tabu=tabu, temperature=0.0)]
        greedy = ask(llm, asked)
        sampled = ask(llm, _questions(16, budget=9))
        shared = ask_with_readers(llm, _questions(8, edit_bias=2.5, max_tokens=120), BLOCK_SIZE)
    return {
        "version": vllm.__version__,
        "device": current_platform.device_type,
        "traces": len(greedy),
        "strays": sum(not _is_greedy(model, answer) for answer in greedy),
        "sampled": max(answer.difference(model) for answer in sampled),
        "shared": max(answer.difference(model) for answer in shared),
        "actions": {
            "log-probs": sum(len(answer.ids) for answer in sampled),
            "prefix cache": sum(len(answer.ids) for answer in shared),
        },
    }


def _is_greedy(model: Any, answer: Any) -> bool:
    """Whether each token was the likeliest, up to rounding."""
    rows = answer.distributions(model)
    chosen = rows[range(len(answer.ids)), answer.ids]
    return bool((rows.max(1).values - chosen < TOLERANCE).all())


def _questions(
    count: int, *, edit_bias: float = 1.2, max_tokens: int = 64, temperature: float = 1.0, **settings: Any
) -> list[Any]:
    from vllm import SamplingParams

    from halluc_plugin.edits import Context
    from halluc_plugin.vllm_engine.equivalence import VOCAB
    from halluc_plugin.vllm_engine.request import EditRequest

    request = EditRequest(VOCAB, context=Context.HARD, **settings)
    params = SamplingParams(
        temperature=temperature, max_tokens=max_tokens, logprobs=0, detokenize=False, ignore_eos=True,
        logit_bias={VOCAB.backtrack: edit_bias}, extra_args=request.to_extra_args(),
    )  # fmt: skip
    return [([1 + index, *range(2 + 5 * (index % 4))], params) for index in range(count)]
