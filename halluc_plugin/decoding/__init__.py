"""Decode plain transformers models under the edit MDP, in soft or in hard context.

Read in this order: :mod:`.policy` (what a response may sample next), :mod:`.forcing` (when it may end),
:mod:`.asked` (settings and result), :mod:`.hf` (``decode``, the reference engine: batched, exact, on CPU and
GPU) with :mod:`.row` (one response being written), :mod:`.slots` (a KV cache that can be rewound) and
:mod:`.attention`; :mod:`.limits` (the rows and positions that a model has), :mod:`.signals` (how certain a
model is of the next token) with :mod:`.triggers` and :mod:`.watching` (when that takes text back),
:mod:`.generation` (arguments of transformers' ``generate``, to decode by). vLLM is the fast engine, see
:mod:`halluc_plugin.vllm_engine`.
"""

from typing import TYPE_CHECKING

from halluc_plugin import moved
from halluc_plugin.decoding.policy import EditPolicy, Tabu
from halluc_plugin.edits import Context

if TYPE_CHECKING:
    from halluc_plugin.decoding.asked import DecodedTrace, Decoding
    from halluc_plugin.decoding.hf import decode

__all__ = ["Context", "DecodedTrace", "Decoding", "EditPolicy", "Tabu", "decode"]


def __getattr__(name: str) -> object:
    if name in {"Decoding", "DecodedTrace", "decode"}:  # these need torch
        from halluc_plugin.decoding import hf

        return getattr(hf, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


moved.forward(__name__)
