"""Sample responses from a model, for searches and data collection, and count what that costs.

Read in this order: :mod:`.states` (a response being written, and the request for more of it),
:mod:`.problems` (problems as ids, each with its verifier), :mod:`.driver` (many searches on one sampler and
one rater of steps), :mod:`.costs` and :mod:`.rating` (what that costs, and what a rater is),
:mod:`.independent` (answers each sampled by itself), :mod:`.hf` (the sampler of transformers models; vLLM's
is :mod:`halluc_plugin.vllm_engine.sampler`), :mod:`.networks` (loading a model, and its sizes), :mod:`.seeds`
(samples that do not depend on where a run was interrupted).
"""
