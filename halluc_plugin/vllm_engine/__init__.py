"""What runs inside vLLM's engine processes, loaded by name.

:mod:`.request` says how a request asks for limits on its edits and needs no vLLM; :mod:`.budget` is the
logits processor that obeys, given to vLLM as ``--logits-processors
halluc_plugin.vllm_engine.budget:EditBudget``.
"""
