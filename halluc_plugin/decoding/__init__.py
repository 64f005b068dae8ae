"""Decoding plain transformers models under the edit MDP, in soft or in hard context.

``decode`` is the reference engine: batched, exact, on CPU and GPU. vLLM is the fast one, see
:mod:`halluc_plugin.vllm_engine`.
"""

from typing import TYPE_CHECKING

from halluc_plugin.decoding.policy import EditPolicy, Tabu
from halluc_plugin.edits import Context

if TYPE_CHECKING:
    from halluc_plugin.decoding.hf import DecodedTrace, Decoding, decode

__all__ = ["Context", "DecodedTrace", "Decoding", "EditPolicy", "Tabu", "decode"]


def __getattr__(name: str) -> object:
    if name in {"Decoding", "DecodedTrace", "decode"}:  # these need torch
        from halluc_plugin.decoding import hf

        return getattr(hf, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
