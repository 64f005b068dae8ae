"""Give clients of ``vllm serve`` raw, collapsed or live text; docs/engine.md explains how to ask for it.

Read in this order: :mod:`.answer` (the text of one answer as its actions arrive), :mod:`.asked` (what a
request asks for, and what is refused), :mod:`.reply` (vLLM's rewritten answers), :mod:`.middleware` (the
interface to the server). None of these needs vLLM; :mod:`halluc_plugin.vllm_engine.compat` looks the server
up.
"""

from halluc_plugin.vllm_engine.serving.middleware import CollapsedText

__all__ = ["CollapsedText"]
