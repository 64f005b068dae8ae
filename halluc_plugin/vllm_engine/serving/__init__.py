"""The text that clients of ``vllm serve`` get: raw, collapsed, or live; docs/engine.md says how to ask.

Read in this order: :mod:`.answer` (the text of one answer as its actions arrive), :mod:`.asked` (what a
request asks for, and what is refused), :mod:`.reply` (vLLM's answers rewritten), :mod:`.middleware` (the seam
to the server). None needs vLLM; what must be known of a server is in
:mod:`halluc_plugin.vllm_engine.compat`.
"""

from halluc_plugin.vllm_engine.serving.middleware import CollapsedText

__all__ = ["CollapsedText"]
