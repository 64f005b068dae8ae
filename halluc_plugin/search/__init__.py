"""Search at test time: answers are expanded, rolled back where the model takes something back, and selected.

Read in this order: :mod:`.states` (a response being written, and what a search asks of a model),
:mod:`.driver` (runs many searches on one sampler), :mod:`.backtracking` (Self-Backtracking, arXiv
2502.04404), :mod:`.baselines` (greedy, samples, steps breadth-first and depth-first), :mod:`.selection`
(which answer to give), :mod:`.hf` (transformers models; beam search), :mod:`.models` (which model is sampled,
and what fits in it), :mod:`.job` (all of it, for a file of problems). vLLM's sampler is in
:mod:`halluc_plugin.vllm_engine.sampler`.
"""

from halluc_plugin.sampling.driver import Cost, Found, Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.states import End, Request, Response, Sample, Space
from halluc_plugin.search.backtracking import self_backtracking
from halluc_plugin.search.baselines import breadth_first, depth_first, greedy
from halluc_plugin.search.selection import Rule, select

__all__ = [
    "Cost",
    "End",
    "Found",
    "Request",
    "Response",
    "Rule",
    "Sample",
    "Sampler",
    "Space",
    "breadth_first",
    "depth_first",
    "greedy",
    "independent",
    "run",
    "select",
    "self_backtracking",
]
